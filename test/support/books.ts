import { expect } from '@jest/globals';
import { audit } from '../../src/audit/audit.js';
import { compareWithProcessor } from '../../src/audit/processor-comparison.js';
import { StripeProcessor } from '../../src/processor/stripe-processor.js';
import { expectPromisesKept, forgetPromises } from './retry-promise.js';
import { openDatabase } from './open-database.js';
import { until } from './until.js';

/** A payment or refund in the processor's ledger. */
export interface LedgerEntry {
  id: string;
  amount: number;
  currency: string;
  status: string;
  metadata: { charge?: string; refund?: string; order?: string; account?: string; fence?: string };
}

/** The whole ledger of the sandbox, read through its public list. */
export async function ledger(
  sandboxUrl: string,
  of: 'payment_intents' | 'refunds' = 'payment_intents',
): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let more = true; more;) {
    const after = entries.length > 0 ? `&starting_after=${entries.at(-1)?.id}` : '';
    const response = await fetch(`${sandboxUrl}/v1/${of}?limit=100${after}`, {
      headers: { authorization: 'Bearer sk_test_books' },
    });
    const page = (await response.json()) as { data: LedgerEntry[]; has_more: boolean };
    entries.push(...page.data);
    more = page.has_more;
  }
  return entries;
}

/** The succeeded payments. */
export async function paymentsAtProcessor(sandboxUrl: string): Promise<LedgerEntry[]> {
  return (await ledger(sandboxUrl)).filter(({ status }) => status === 'succeeded');
}

/** The succeeded payments of one charge: the ground truth. */
export async function paymentsOf(sandboxUrl: string, chargeId: string): Promise<LedgerEntry[]> {
  return (await paymentsAtProcessor(sandboxUrl)).filter(
    ({ metadata }) => metadata.charge === chargeId,
  );
}

/**
 * Call at the end of a file that makes charges. Waits until recovery has finished everything. Then checks that all
 * invariants hold, that our books match the processor's ledger, and that every promise of `retry` was kept.
 * @param of.ttlSeconds IDEMPOTENCY_TTL_SECONDS of the API, if it was not the default.
 */
export async function expectCleanBooks(of: {
  databaseUrl: string;
  sandboxUrl: string;
  ttlSeconds?: number;
}): Promise<void> {
  const { db, close } = await openDatabase(of.databaseUrl, 1);
  try {
    await until(async () => {
      const unfinished = await db.query(
        `SELECT resource_id FROM idempotency_records WHERE state = 'in_progress'`,
      );
      if (unfinished.length > 0) throw new Error(`unfinished: ${JSON.stringify(unfinished)}`);
      return true;
    });
    expect(await audit(db, of.ttlSeconds)).toEqual([]);
    const processor = new StripeProcessor({
      name: 'sandbox',
      secretKey: 'sk_test_books',
      baseUrl: new URL(of.sandboxUrl),
      timeoutMs: 8_000,
    });
    expect(await compareWithProcessor(db, processor)).toEqual([]);
    const moved = [
      ...(await ledger(of.sandboxUrl)),
      ...(await ledger(of.sandboxUrl, 'refunds')),
    ].filter(({ status }) => status === 'succeeded');
    expectPromisesKept(
      new Set(moved.map(({ metadata }) => metadata.refund ?? metadata.charge ?? '')),
    );
    forgetPromises(); // the rest of the file may use another database
  } finally {
    await close();
  }
}
