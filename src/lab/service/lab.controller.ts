import { Body, Controller, Get, Header, Post, Req } from '@nestjs/common';
import type { Request } from 'express';
import { Accounts } from '../../accounts/accounts.js';
import { bearerToken } from '../../accounts/auth.guard.js';
import { CreateCharge } from '../../charges/charge.dto.js';
import { Database } from '../../database/database.js';
import { Answers, Describe, Problems, Tagged } from '../../http/description/route.js';
import { Problem } from '../../http/problems/problem.js';
import { Public } from '../../http/public.js';
import { Processor } from '../../processor/processor.js';
import { LEDGER, NAIVE_CHARGE } from './lab.schema.js';
import { NaiveCharges } from './naive-charges.js';
import { UNAUTHORIZED } from '../../accounts/account.problems.js';
import {
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../../processor/processor.problems.js';
import { CARD_DECLINED, CHARGE_FAILED } from '../../charges/charge.problems.js';
import { DATABASE_UNAVAILABLE, NOT_FOUND } from '../../idempotency/problem-types.js';

interface Count {
  count: number;
  amount: number;
}

/** Teaching routes, mounted only with LAB=1. */
@Public()
@Tagged('Lab')
@Controller('lab')
export class LabController {
  constructor(
    private readonly db: Database,
    private readonly accounts: Accounts,
    private readonly processor: Processor,
    private readonly naive: NaiveCharges,
  ) {}

  @Post('naive/charges')
  @Describe('chargeNaively', 'A bug on purpose: take money without a key', {
    description:
      'What most examples do. After a lost response, the retry charges a second time, and both ledgers agree. The API key is optional; the default is that of the first demo account.',
    examples: { charge: { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' } },
  })
  @Answers(201, 'The money was taken again.', NAIVE_CHARGE)
  @Problems(
    UNAUTHORIZED,
    NOT_FOUND,
    CARD_DECLINED,
    CHARGE_FAILED,
    PROCESSOR_OUTCOME_UNKNOWN,
    PROCESSOR_UNAVAILABLE,
    DATABASE_UNAVAILABLE,
  )
  async chargeNaively(@Req() request: Request, @Body() body: CreateCharge) {
    const apiKey = bearerToken(request) ?? 'sk_test_acme';
    const accountId =
      (await this.accounts.findByApiKey(apiKey)) ??
      (await this.accounts.findByApiKey('sk_test_acme'));
    if (accountId === undefined) {
      throw new Problem(UNAUTHORIZED, 'There is no demo account here; send an API key.', {
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
    }
    return this.naive.charge(accountId, body);
  }

  /** Sums over all currencies, only for comparison. */
  @Get('ledger')
  @Describe('getLedger', 'Compare our books with the processor’s', {
    description: '`difference`: what customers paid minus what our rows show, in minor units.',
  })
  @Answers(200, 'All accounts.', LEDGER)
  @Problems(PROCESSOR_UNAVAILABLE, DATABASE_UNAVAILABLE)
  async ledger() {
    const merchant = await this.count(`charges WHERE status = 'succeeded'`);
    const naive = await this.count('naive_charges');
    const { payments, amount } = await this.paid();
    return {
      merchant: { charges: merchant.count, amount: merchant.amount },
      naive: { charges: naive.count, amount: naive.amount },
      processor: { payments, amount },
      difference: amount - merchant.amount - naive.amount,
    };
  }

  @Get('ledger.txt')
  @Header('Content-Type', 'text/plain; charset=utf-8')
  @Describe('getLedgerTable', 'The same as a table for people')
  @Answers(200, 'Text.')
  @Problems(PROCESSOR_UNAVAILABLE, DATABASE_UNAVAILABLE)
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
      throw new Problem(PROCESSOR_UNAVAILABLE, 'The processor’s ledger cannot be read now.', {
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
