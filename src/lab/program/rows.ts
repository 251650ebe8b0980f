import type { Queryable } from '../../idempotency/database.js';
import type { Rows, RowsTable, Track } from '../run.js';
import { money } from '../words.js';
import type { LedgerPayment } from './processor-ledger.js';

/** Each table beside the diagram: what is shown of it, for one account. Times are shown as text. */
const KEYED: Record<string, string> = {
  'idempotency record': `
    SELECT left(key, 13) AS key, state, epoch, attempts,
      CASE WHEN state = 'completed' THEN 'none'
        ELSE COALESCE(round(GREATEST(EXTRACT(EPOCH FROM lease_expires_at - clock_timestamp()), 0))::text || ' s', 'none')
      END AS lease,
      COALESCE(response_status::text, '') AS answer
    FROM idempotency_records WHERE account_id = $1 ORDER BY first_seen_at`,
  charge: `
    SELECT left(id, 11) || '…' AS id, status, amount, COALESCE(failure_code, '') AS failure,
      COALESCE(left(processor_reference, 11) || '…', '') AS processor_reference
    FROM charges WHERE account_id = $1 ORDER BY created_at`,
  order: `
    SELECT id, status, total, COALESCE(left(charge_id, 11) || '…', '') AS charge, version
    FROM orders WHERE account_id = $1 ORDER BY created_at`,
  stock: `SELECT sku, on_hand, held FROM products WHERE account_id = $1 ORDER BY sku`,
  event: `
    SELECT left(id, 12) || '…' AS id, type, (relayed_at IS NOT NULL)::text AS relayed
    FROM events WHERE account_id = $1 ORDER BY created_at`,
  jobs: `
    SELECT task.identifier AS job, job.attempts, (job.locked_at IS NOT NULL)::text AS running
    FROM graphile_worker._private_jobs AS job JOIN graphile_worker._private_tasks AS task ON task.id = job.task_id
    WHERE job.payload->>'account' = $1 ORDER BY job.id`,
  'e-mails': `
    SELECT recipient, epoch, CASE WHEN sent_at IS NULL THEN 'sending' ELSE 'sent' END AS state
    FROM sent_emails WHERE account_id = $1 ORDER BY created_at`,
};

const NAIVE: Record<string, string> = {
  charge: `
    SELECT left(id, 11) || '…' AS id, 'succeeded' AS status, amount,
      left(processor_reference, 11) || '…' AS processor_reference
    FROM naive_charges WHERE account_id = $1 ORDER BY created_at`,
};

/** The rows of one track as they are now. */
export async function readRows(
  db: Queryable,
  account: string,
  track: Track,
  payments: LedgerPayment[],
  atMs: number,
): Promise<Rows> {
  const tables = await Promise.all(
    Object.entries(track === 'keyed' ? KEYED : NAIVE).map(([name, sql]) =>
      tableOf(db, name, sql, account),
    ),
  );
  const count = (name: string, isCounted: (row: string[]) => boolean) =>
    tables.find((table) => table.name === name)?.rows.filter(isCounted).length ?? 0;
  const paid = payments.filter(({ status }) => status === 'succeeded');
  tables.push({
    name: 'payments',
    columns: ['id', 'status', 'amount'],
    rows: payments.map(({ id, status, amount }) => [`${id.slice(0, 11)}…`, status, money(amount)]),
  });
  return {
    atMs,
    track,
    tables: tables.filter(({ name, rows }) => rows.length > 0 || ALWAYS.has(name)),
    reconciled: {
      charges: count('charge', (row) => row[1] === 'succeeded'),
      payments: paid.length,
      receipts: count('e-mails', (row) => row[2] === 'sent'),
      paidMinor: paid.reduce((sum, { amount }) => sum + amount, 0),
    },
  };
}

/** Shown even if empty, because that nothing is there is the result. */
const ALWAYS = new Set(['idempotency record', 'charge', 'payments']);

async function tableOf(
  db: Queryable,
  name: string,
  sql: string,
  account: string,
): Promise<RowsTable> {
  const rows = await db.query<Record<string, unknown>>(sql, [account]);
  const columns = Object.keys(rows[0] ?? {});
  return { name, columns, rows: rows.map((row) => columns.map((column) => String(row[column]))) };
}
