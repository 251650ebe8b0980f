import { expect } from '@jest/globals';
import pg from 'pg';
import { send } from './client.js';
import { expectPromisesKept } from './retry-promise.js';

/** A payment as the processor's ledger shows it. */
export interface LedgerEntry {
  id: string;
  amount: number;
  currency: string;
  status: string;
  metadata: { charge?: string; account?: string; fence?: string };
}

/** The sandbox's whole ledger, by its public list. */
export async function ledger(sandboxUrl: string): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let more = true; more;) {
    const after = entries.length > 0 ? `&starting_after=${entries.at(-1)?.id}` : '';
    const reply = await send(`${sandboxUrl}/v1/payment_intents?limit=100${after}`);
    const page = reply.body as unknown as { data: LedgerEntry[]; has_more: boolean };
    entries.push(...page.data);
    more = page.has_more;
  }
  return entries;
}

/** What the customer paid for one charge: the ground truth. */
export async function paymentsOf(sandboxUrl: string, chargeId: string): Promise<LedgerEntry[]> {
  return (await ledger(sandboxUrl)).filter(
    ({ metadata, status }) => metadata.charge === chargeId && status === 'succeeded',
  );
}

/**
 * Ends a file that makes charges: nothing is unfinished, every payment has its charge and every charge its payment,
 * of the same account, amount and currency; and what `retry` told any client on the way was true.
 */
export async function expectCleanBooks(of: {
  databaseUrl: string;
  sandboxUrl: string;
}): Promise<void> {
  const client = new pg.Client({ connectionString: of.databaseUrl });
  await client.connect();
  try {
    const unfinished = await client.query(
      `SELECT account_id, key FROM idempotency_records WHERE state = 'in_progress'
       UNION ALL SELECT account_id, id FROM charges WHERE status = 'pending'`,
    );
    expect(unfinished.rows).toEqual([]);
    const { rows: ours } = await client.query(
      `SELECT processor_reference AS id, amount::int, currency, id AS charge, account_id AS account
       FROM charges WHERE status = 'succeeded'
       UNION ALL
       SELECT processor_reference, amount::int, currency, id, account_id FROM naive_charges`,
    );
    const theirs = (await ledger(of.sandboxUrl))
      .filter(({ status }) => status === 'succeeded')
      .map(({ id, amount, currency, metadata: { charge, account } }) => {
        return { id, amount, currency, charge, account };
      });
    expect(byId(ours)).toEqual(byId(theirs));
    expectPromisesKept(new Set(theirs.map(({ charge }) => charge ?? '')));
  } finally {
    await client.end();
  }
}

function byId<T extends { id: string }>(rows: T[]): T[] {
  return [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
}
