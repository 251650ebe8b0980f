import { Body, Controller, Get, Header, Post, Req } from '@nestjs/common';
import type { Request } from 'express';
import { Accounts } from '../../accounts/accounts.js';
import { bearerToken } from '../../accounts/auth.guard.js';
import { CreateCharge } from '../../charges/charge.dto.js';
import { Database } from '../../database/database.js';
import { Problem } from '../../http/problems/problem.js';
import { Public } from '../../http/public.js';
import { Processor } from '../../processor/processor.js';
import { NaiveCharges } from './naive-charges.js';

interface Count {
  count: number;
  amount: number;
}

/** Teaching routes: mounted with LAB=1 only. */
@Public()
@Controller('lab')
export class LabController {
  constructor(
    private readonly db: Database,
    private readonly accounts: Accounts,
    private readonly processor: Processor,
    private readonly naive: NaiveCharges,
  ) {}

  @Post('naive/charges')
  async chargeNaively(@Req() request: Request, @Body() body: CreateCharge) {
    const apiKey = bearerToken(request) ?? 'sk_test_acme';
    const accountId =
      (await this.accounts.findByApiKey(apiKey)) ??
      (await this.accounts.findByApiKey('sk_test_acme'));
    if (accountId === undefined) {
      throw new Problem('unauthorized', 'There is no demo account here; send an API key.', {
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
    }
    return this.naive.charge(accountId, body);
  }

  /** Our books against the processor's. All accounts; amounts are summed over currencies, to be compared only. */
  @Get('ledger')
  async ledger() {
    const merchant = await this.count(`charges WHERE status = 'succeeded'`);
    const naive = await this.count('naive_charges');
    const { payments, amount } = await this.paid();
    return {
      merchant: { charges: merchant.count, amount: merchant.amount },
      naive: { charges: naive.count, amount: naive.amount },
      processor: { payments, amount },
      /** What customers paid beyond what our rows know of, in minor units. */
      difference: amount - merchant.amount - naive.amount,
    };
  }

  /** The same for people. */
  @Get('ledger.txt')
  @Header('Content-Type', 'text/plain; charset=utf-8')
  async ledgerTable(): Promise<string> {
    const { merchant, naive, processor, difference } = await this.ledger();
    const rows = [
      ['', 'count', 'amount'],
      ['merchant', merchant.charges, merchant.amount],
      ['naive', naive.charges, naive.amount],
      ['processor', processor.payments, processor.amount],
      ['difference', '', difference],
    ];
    return rows
      .map(([name, ...cells]) => [
        String(name).padEnd(10),
        ...cells.map((cell) => String(cell).padStart(10)),
      ])
      .map((cells) => `${cells.join('')}\n`)
      .join('');
  }

  private async paid(): Promise<{ payments: number; amount: number }> {
    let payments = 0;
    let amount = 0;
    try {
      for await (const payment of this.processor.payments()) {
        if (payment.answer.kind !== 'succeeded') continue;
        payments += 1;
        amount += payment.amount;
      }
    } catch (cause) {
      throw new Problem('processor_unavailable', 'The processor’s ledger cannot be read now.', {
        headers: { 'Retry-After': '1' },
        cause,
      });
    }
    return { payments, amount };
  }

  private async count(from: 'naive_charges' | `charges WHERE ${string}`): Promise<Count> {
    const [row] = await this.db.query<Count>(
      `SELECT count(*)::bigint AS count, COALESCE(sum(amount), 0)::bigint AS amount FROM ${from}`,
    );
    return row ?? { count: 0, amount: 0 };
  }
}
