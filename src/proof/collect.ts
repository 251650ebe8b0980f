import { readProcessorList } from '../local/processor-list.js';
import { send } from './client.js';
import type { Ledger, Rows } from './history.js';
import { SKU, STOCK } from './purposes.js';
import type { World } from './world/world.js';

const MS = (column: string) => `(EXTRACT(EPOCH FROM ${column}) * 1000)::float8`;

/** All rows that the checker needs, in one snapshot. */
export async function readRows({ postgres }: World): Promise<Rows> {
  const [row] = await postgres.query<{ rows: Rows }>(`SELECT json_build_object(
    'records', ${list(`SELECT account_id AS account, key, state, response_status AS status, response_body AS body,
        ${MS('first_seen_at')} AS "firstSeenAt", ${MS('completed_at')} AS "completedAt" FROM idempotency_records`)},
    'charges', ${list(`SELECT account_id AS account, id, description AS marker, status, amount,
        amount_refunded AS refunded, order_id AS "order", receipt_email IS NOT NULL AS "hasReceipt" FROM charges`)},
    'refunds', ${list(`SELECT account_id AS account, id, COALESCE(reason, id) AS marker, charge_id AS charge, status,
        amount FROM refunds`)},
    'orders', ${list(`SELECT account_id AS account, id, metadata ->> 'marker' AS marker, status, charge_id AS charge,
        items FROM orders`)},
    'products', ${list(`SELECT account_id AS account, sku, ${STOCK} AS initial, on_hand AS "onHand", held
        FROM products WHERE sku = '${SKU}'`)},
    'events', ${list(`SELECT account_id AS account, id, type, data -> 'object' ->> 'id' AS object,
        relayed_at IS NOT NULL AS "isRelayed" FROM events`)},
    'fulfillments', ${list(`SELECT account_id AS account, id, order_id AS "order" FROM fulfillments`)},
    -- A delivery that waits for its next attempt, minutes later, is not stuck.
    'deliveries', ${list(`SELECT account_id AS account, id, event_id AS event,
        CASE WHEN status = 'pending' AND next_attempt_at > now() THEN 'waiting' ELSE status END AS status
        FROM webhook_deliveries`)}) AS rows`);
  return row!.rows;
}

const list = (select: string) => `(SELECT COALESCE(json_agg(t), '[]') FROM (${select}) t)`;

/** Counts of what is unfinished. The service is quiet when all are 0. */
export async function readUnfinished({ postgres }: World): Promise<Record<string, number>> {
  const [row] = await postgres.query<Record<string, number>>(
    `SELECT (SELECT count(*)::int FROM idempotency_records WHERE state = 'in_progress') AS records,
       (SELECT count(*)::int FROM charges WHERE status = 'pending') AS charges,
       (SELECT count(*)::int FROM refunds WHERE status = 'pending') AS refunds,
       (SELECT count(*)::int FROM events WHERE relayed_at IS NULL) AS events,
       (SELECT count(*)::int FROM graphile_worker.jobs) AS jobs,
       (SELECT count(*)::int FROM webhook_deliveries WHERE status = 'pending' AND next_attempt_at <= now()) AS deliveries`,
  );
  return row!;
}

interface Listed {
  id: string;
  description: string | null;
  amount: number;
  status: string;
  metadata: Record<string, string>;
  /** For a refund: the payment that it refunds. */
  payment_intent?: string;
}

/** The processor's public lists, read without asking the service. */
export async function readLedger(world: World): Promise<Ledger> {
  const ask = (path: string) => askProcessor(world, path);
  const payments = await readProcessorList(ask, 'payment_intents');
  const refunds = await readProcessorList(ask, 'refunds');
  return {
    payments: payments.map(({ id, description, amount, status, metadata }) => ({
      id,
      marker: description ?? id,
      account: metadata.account ?? '',
      amount,
      status,
    })),
    refunds: refunds.map(({ id, amount, status, metadata, payment_intent }) => ({
      id,
      refund: metadata.refund ?? '',
      payment: payment_intent,
      amount,
      status,
    })),
  };
}

async function askProcessor({ programs }: World, path: string) {
  const headers = { authorization: 'Bearer sk_test_proof' };
  const answer = await send(programs.processor[0]!.port, 'GET', path, { headers });
  if (answer?.status !== 200) throw new Error(`the processor's ${path}: ${answer?.body}`);
  return JSON.parse(answer.body) as { data: Listed[]; has_more: boolean };
}
