import type { Pool } from 'pg';
import { charge, send, type Reply, type Send } from '../support/raw-client.js';

let count = 0;
/** A key that no other test has. */
export function newKey(what = 'key'): string {
  return `${what}-${process.pid}-${++count}`;
}

/** The id of a new succeeded charge, of 12.00 by default. */
export async function newCharge(
  apiUrl: string,
  changes: Record<string, unknown> = {},
): Promise<string> {
  const reply = await charge(apiUrl, newKey('charge'), changes);
  if (reply.status !== 201) throw new Error(`no charge: ${reply.text}`);
  return reply.body.id;
}

/** `POST /charges/{id}/refunds`; without an amount, all that is left. */
export function refund(
  apiUrl: string,
  chargeId: string,
  key: string,
  body: unknown = {},
  options: Send = {},
): Promise<Reply> {
  return send(`${apiUrl}/charges/${chargeId}/refunds`, { method: 'POST', key, body, ...options });
}

export interface RefundEntry {
  id: string;
  amount: number;
  status: string;
  metadata: { refund?: string; charge?: string };
}

/** The refunds of a charge in the processor's ledger: the ground truth. */
export async function refundsAtProcessor(
  sandboxUrl: string,
  chargeId: string,
): Promise<RefundEntry[]> {
  const entries: RefundEntry[] = [];
  for (let more = true; more;) {
    const after = entries.length > 0 ? `&starting_after=${entries.at(-1)?.id}` : '';
    const { body } = await send(`${sandboxUrl}/v1/refunds?limit=100${after}`);
    entries.push(...(body.data as RefundEntry[]));
    more = body.has_more as boolean;
  }
  return entries.filter(({ metadata }) => metadata.charge === chargeId);
}

/**
 * Checks the refunds: none is pending, each succeeded one is in the ledger once with its amount, and each charge shows
 * the sum of its refunds.
 */
export async function refundFaults(db: Pool, sandboxUrl: string): Promise<unknown[]> {
  const { rows: pending } = await db.query(`SELECT id FROM refunds WHERE status = 'pending'`);
  const { rows: sums } = await db.query(`
    SELECT charge.id, amount_refunded::int, COALESCE(sum(refund.amount), 0)::int AS refunded
    FROM charges AS charge
    LEFT JOIN refunds AS refund ON refund.account_id = charge.account_id AND refund.charge_id = charge.id
      AND refund.status = 'succeeded'
    GROUP BY charge.account_id, charge.id, amount_refunded
    HAVING amount_refunded <> COALESCE(sum(refund.amount), 0) OR amount_refunded > charge.amount`);
  const { rows: ours } = await db.query(
    `SELECT id, charge_id, amount::int, processor_reference FROM refunds WHERE status = 'succeeded'`,
  );
  const charges = [...new Set(ours.map(({ charge_id }) => charge_id as string))];
  const theirs = (
    await Promise.all(charges.map((id) => refundsAtProcessor(sandboxUrl, id)))
  ).flat();
  const name = (id: unknown, chargeId: unknown, amount: unknown, reference: unknown) =>
    JSON.stringify([id, chargeId, amount, reference]);
  const here = ours.map((r) => name(r.id, r.charge_id, r.amount, r.processor_reference)).sort();
  const there = theirs
    .map((r) => name(r.metadata.refund, r.metadata.charge, r.amount, r.id))
    .sort();
  const differ = here.join() === there.join() ? [] : [{ here, there }];
  return [...pending, ...sums, ...differ];
}
