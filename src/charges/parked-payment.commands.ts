import { CommandError } from '../database/command.js';
import type { Database } from '../database/database.js';
import type { Discrepancy, ParkedPayment } from './parked-payments.js';

/** What happened, and what the operator must do. Printed by `npm run jobs -- list`. */
export const WHAT_TO_DO: Record<Discrepancy, string> = {
  succeeded_after_failed: 'the customer has paid a charge that failed: honour it, or refund it',
  second_payment: 'the customer has paid the charge a second time: refund one payment',
  amount_mismatch: 'the processor reports another amount or currency than our row: compare both',
  another_processor: 'a processor other than the one in our row reports it: compare both',
  never_applied:
    'a notification could not be applied for 30 days: compare the processor with our row',
};

/**
 * @param whatToDo for each reason, including those of refunds.
 * @returns one line for each open payment or refund, oldest first.
 */
export async function listOpenPayments(
  db: Database,
  whatToDo: Readonly<Record<string, string>>,
): Promise<string[]> {
  // Reads all accounts without locks.
  const rows = await db.query<ParkedPayment & { parked_at: Date }>(
    `SELECT * FROM parked_payments WHERE resolved_at IS NULL ORDER BY parked_at, processor_reference`,
  );
  return rows.map((row) =>
    [
      row.processor_reference,
      row.reason,
      row.account_id,
      row.charge_id,
      `${row.amount} ${row.currency}`,
      `since ${row.parked_at.toISOString()}`,
      whatToDo[row.reason],
    ].join('  '),
  );
}

/**
 * Closes a parked payment or refund. Idempotent: the first resolution stays.
 * @param reference the processor's id. It can be parked in two accounts if its metadata was edited.
 * @returns the lines to print.
 */
export async function resolvePayment(
  db: Database,
  reference: string,
  resolution: string,
): Promise<string[]> {
  const found = await db.query<{ account_id: string }>(
    'SELECT account_id FROM parked_payments WHERE processor_reference = $1 ORDER BY account_id',
    [reference],
  );
  if (found.length === 0) {
    throw new CommandError(
      `No payment ${reference} is parked; \`list\` shows those that are open.`,
    );
  }
  const lines: string[] = [];
  // A transaction touches one account only.
  for (const { account_id } of found) {
    const closed = await db.query(
      `UPDATE parked_payments SET resolved_at = now(), resolution = $3
       WHERE account_id = $1 AND processor_reference = $2 AND resolved_at IS NULL
       RETURNING account_id`,
      [account_id, reference, resolution],
    );
    const name = `${reference} of ${account_id}`;
    lines.push(closed.length === 1 ? `Resolved ${name}` : `${name} is already resolved`);
  }
  return lines;
}
