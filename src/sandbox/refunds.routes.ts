import { Router } from 'express';
import type Stripe from 'stripe';
import type { Tx } from './ledger.schema.js';
import { addRefunded, lockIntent } from './payment-intents.ledger.js';
import { chargeObject, type IntentRow, newId, unixSeconds } from './payment-intents.object.js';
import { MAX_AMOUNT, refuseUnlessWhole } from './payment-intents.params.js';
import { misbehaviourOf, refundsOf } from './payment-methods.table.js';
import { MISSING_PARAMETERS } from './protocol/missing-parts.js';
import { Params, refuseImpossibleId } from './protocol/form.params.js';
import {
  type Answer,
  idempotent,
  type IdempotencyOptions,
  type Plan,
} from './protocol/idempotency.middleware.js';
import { LIST_PARAMS, listPage } from './protocol/list.query.js';
import { errorBody, noSuch } from './protocol/stripe.errors.js';
import { insertEvent } from './webhooks/events.ledger.js';

export interface RefundRow {
  id: string;
  payment_intent: string;
  charge: string;
  amount: string;
  currency: string;
  status: 'pending' | 'succeeded' | 'failed';
  failure_reason: string | null;
  reason: Stripe.Refund.Reason | null;
  metadata: Record<string, string>;
  created_at: Date;
}

/** How long a refund that changes later keeps its first status. */
const TURNS_AFTER = "interval '1 second'";
const REASONS = ['duplicate', 'fraudulent', 'requested_by_customer'] as const;

/** Filters of the list, each with the payment column that it refers to. */
const FILTERS = [
  ['payment_intent', 'id'],
  ['charge', 'latest_charge'],
] as const;

/** docs.stripe.com/api/refunds: create, retrieve, list. Later changes of a refund: refunds.turning.ts. */
export function refundsRouter(options: IdempotencyOptions): Router {
  const { pool } = options;
  const router = Router();
  router.param('id', refuseImpossibleId('refund', 'refund'));

  router.post('/refunds', idempotent(options, planRefund));

  router.get('/refunds', async (req, res) => {
    const params = Params.ofQuery(req.originalUrl)
      .without(MISSING_PARAMETERS.listRefunds)
      .only(...LIST_PARAMS, ...FILTERS.map(([filter]) => filter));
    const where: [column: string, id: string][] = [];
    for (const [filter, column] of FILTERS) {
      const id = params.text(filter);
      if (id === undefined) continue;
      // A filter by an object that does not exist is an error, not an empty list.
      const payment = `SELECT 1 FROM sandbox.payment_intents WHERE ${column} = $1`;
      if (!(await pool.query(payment, [id])).rowCount) throw noSuch(400, filter, id, filter);
      where.push([filter, id]);
    }
    const { rows, hasMore } = await listPage<RefundRow>(
      pool,
      { table: 'sandbox.refunds', noun: 'refund', where },
      params,
    );
    const data = rows.map(refundObject);
    res.json({ object: 'list', data, has_more: hasMore, url: '/v1/refunds' });
  });

  router.get('/refunds/:id', async (req, res) => {
    Params.ofQuery(req.originalUrl).without(MISSING_PARAMETERS.retrieve).only();
    const { id } = req.params;
    const { rows } = await pool.query<RefundRow>('SELECT * FROM sandbox.refunds WHERE id = $1', [
      id,
    ]);
    if (!rows[0]) throw noSuch(404, 'refund', id, 'refund');
    res.json(refundObject(rows[0]));
  });

  return router;
}

/** A refund misbehaves as its payment did, because the payment method is the only input that selects a fault. */
const planRefund: Plan = async (tx, params) => {
  params
    .without(MISSING_PARAMETERS.createRefund)
    .only('payment_intent', 'amount', 'reason', 'metadata[*]');
  const id = params.requiredText('payment_intent');
  const amount = params.integer('amount', 1, MAX_AMOUNT);
  const reason = params.oneOf('reason', REASONS) ?? null;
  const metadata = params.metadata();
  const { payment_method, status, currency } = await lockIntent(tx, id, 'payment_intent');
  if (amount !== undefined) refuseUnlessWhole(amount, currency);
  return {
    misbehaviour: status === 'succeeded' ? misbehaviourOf(payment_method) : 'none',
    run: async (runTx) => {
      // The lock serialises the refunds of a payment. It is taken again because a slow refund runs in a later
      // transaction, when the remaining amount may have changed.
      const intent = await lockIntent(runTx, id, 'payment_intent');
      const left = Number(intent.amount_received) - Number(intent.amount_refunded);
      const refused = refusal(intent, left, amount ?? left);
      return refused ?? refund(runTx, intent, amount ?? left, reason, metadata);
    },
  };
};

/** Returned, not thrown: execution has begun, so Stripe stores refusals under the key. */
function refusal(intent: IntentRow, left: number, amount: number): Answer | undefined {
  const refuse = (message: string, code?: string, param?: string): Answer => ({
    status: 400,
    body: errorBody({ type: 'invalid_request_error', code, message, param }),
  });
  if (intent.status !== 'succeeded') {
    return refuse(`This PaymentIntent (${intent.id}) does not have a successful charge to refund.`);
  }
  if (left === 0) {
    return refuse(
      `Charge ${intent.latest_charge} has already been refunded.`,
      'charge_already_refunded',
    );
  }
  if (amount <= left) return undefined;
  return refuse(
    `Refund amount (${amount}) is greater than unrefunded amount on charge (${left})`,
    undefined,
    'amount',
  );
}

async function refund(
  tx: Tx,
  intent: IntentRow,
  amount: number,
  reason: string | null,
  metadata: Record<string, string>,
): Promise<Answer> {
  const refunded = await addRefunded(tx, intent.id, amount);
  const { rows } = await tx.query<RefundRow>(
    `INSERT INTO sandbox.refunds (id, payment_intent, charge, amount, currency, reason, metadata, status, turns_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $9 THEN clock_timestamp() + ${TURNS_AFTER} END) RETURNING *`,
    [
      newId('re_'),
      intent.id,
      intent.latest_charge,
      amount,
      intent.currency,
      reason,
      metadata,
      refundsOf(intent.payment_method) === 'succeed_later' ? 'pending' : 'succeeded',
      refundsOf(intent.payment_method) !== undefined,
    ],
  );
  const body = rows.map(refundObject)[0] ?? {};
  await insertEvent(tx, 'refund.created', body);
  await insertEvent(tx, 'charge.refunded', chargeObject(refunded) ?? {});
  return { status: 200, body };
}

/** The SDK's own type: leaving out a required member does not compile. */
export function refundObject(row: RefundRow): Stripe.Refund {
  return {
    id: row.id,
    object: 'refund',
    amount: Number(row.amount),
    balance_transaction: null,
    charge: row.charge,
    created: unixSeconds(row.created_at),
    currency: row.currency,
    customer: null,
    customer_account: null,
    ...(row.failure_reason !== null && { failure_reason: row.failure_reason }),
    metadata: row.metadata,
    payment_intent: row.payment_intent,
    payment_method: null,
    reason: row.reason,
    receipt_number: null,
    source_transfer_reversal: null,
    status: row.status,
    transfer_reversal: null,
  };
}
