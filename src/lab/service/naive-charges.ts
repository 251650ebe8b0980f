import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { CreateCharge } from '../../charges/charge.dto.js';
import { cardDeclined } from '../../charges/charge.problems.js';
import { refuseUnlessPayable } from '../../orders/order.problems.js';
import { findOrder } from '../../orders/order.queries.js';
import { Database } from '../../database/database.js';
import { objectNotFound, Problem } from '../../http/problems/problem.js';
import { randomId } from '../../http/request-id.js';
import { Processor } from '../../processor/processor.js';
import { CHARGE_FAILED } from '../../charges/charge.problems.js';
import { INTERNAL_ERROR } from '../../http/problems/http.problems.js';
import {
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../../processor/processor.problems.js';

/**
 * THE BUG, ON PURPOSE. What most tutorials show: call the processor, then insert the row. There is no key and no unique
 * constraint, and each call has a new processor key. So every repeat of a purchase takes the money again. Proof:
 * test/guarantees/lost-response.spec.ts counts two payments in the processor's ledger.
 */
@Injectable()
export class NaiveCharges {
  constructor(
    private readonly db: Database,
    private readonly processor: Processor,
  ) {}

  async charge(accountId: string, request: CreateCharge) {
    const { payment_method, description } = request;
    const { amount, currency } = await this.priceOf(accountId, request);
    const id = randomId('ch');
    const prepared = this.processor.prepare({
      amount,
      currency,
      payment_method,
      ...(description && { description }),
      metadata: { ...merchantPairs(request.metadata), naive_charge: id, account: accountId },
    });
    const answer = await this.processor.pay(randomUUID(), prepared);
    // Crash here: money is taken, without a row.
    if (answer.kind === 'declined') {
      throw cardDeclined(answer.declineCode, id);
    }
    if (answer.kind === 'rejected') {
      throw new Problem(CHARGE_FAILED, `The charge failed: ${answer.failureCode}.`, {
        extensions: { failure_code: answer.failureCode, charge: id },
      });
    }
    if (answer.kind === 'refused') {
      throw new Problem(PROCESSOR_UNAVAILABLE, 'The processor was not reached.', {
        retry: 'no',
        extensions: { charge: id },
        headers: { 'Retry-After': '1' },
      });
    }
    if (answer.kind === 'unknown') {
      // Without a key, a retry risks a second payment.
      throw new Problem(
        PROCESSOR_OUTCOME_UNKNOWN,
        'The naive lane does not know the outcome, and has no way to find out.',
        { retry: 'no', extensions: { charge: id }, headers: { 'Retry-After': '1' } },
      );
    }
    const row = await this.record(
      `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
       VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`,
      [accountId, id, amount, currency, payment_method, answer.reference],
    );
    return {
      id,
      object: 'naive_charge',
      amount,
      currency,
      status: 'succeeded',
      payment_method,
      processor_reference: answer.reference,
      created_at: row?.created_at.toISOString(),
    };
  }

  private async record(sql: string, values: unknown[]): Promise<{ created_at: Date } | undefined> {
    try {
      const rows = await this.db.query<{ created_at: Date }>(sql, values);
      return rows[0];
    } catch (cause) {
      throw new Problem(INTERNAL_ERROR, 'The money is taken, but there is no row for it.', {
        retry: 'no',
        headers: { 'Retry-After': '1' },
        cause,
      });
    }
  }

  /**
   * The price from the body, or from the order that it names, as in `POST /charges`. The naive lane neither holds nor
   * pays the order.
   */
  private async priceOf(accountId: string, { amount, currency, order: id }: CreateCharge) {
    const order = id === undefined ? undefined : await findOrder(this.db, accountId, id);
    if (id !== undefined && !order) throw objectNotFound('order');
    if (order) refuseUnlessPayable(order);
    return {
      amount: amount ?? order?.total ?? 0,
      currency: currency ?? order?.currency ?? '',
    };
  }
}

/** Stripe allows 50 pairs, of which two are ours. */
const MERCHANT_PAIRS = 48;
/** We find our payments by these metadata names, so a payment of this lane must not have them. */
const OURS: ReadonlySet<string> = new Set(['charge', 'account', 'order', 'refund', 'fence']);

function merchantPairs(metadata: Record<string, string> = {}): Record<string, string> {
  // Stripe refuses brackets in a name.
  const pairs = Object.entries(metadata).filter(([name]) => !OURS.has(name) && !/[[\]]/.test(name));
  return Object.fromEntries(pairs.slice(0, MERCHANT_PAIRS));
}
