import type pg from 'pg';

/** More would not fit on a screen. The sums cover the whole ledger. */
const NEWEST = 50;

const COLUMNS = ['created', 'payment', 'status', 'amount', 'currency', 'refunded', 'charge'];

/** `GET /ledger`: what customers paid, as a text table. Not part of Stripe's protocol. */
export async function ledgerPage(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<string[]>({
    rowMode: 'array',
    text: `SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), id, status, amount::text,
        currency, amount_refunded::text, left(COALESCE(metadata ->> 'charge', metadata ->> 'naive_charge', '-'), 40)
      FROM sandbox.payment_intents ORDER BY created_at DESC, id DESC LIMIT ${NEWEST}`,
  });
  const { rows: sums } = await pool.query<Record<'payments' | 'taken' | 'refunded', string>>(
    `SELECT count(*) FILTER (WHERE status = 'succeeded') AS payments,
       COALESCE(sum(amount_received), 0) AS taken, COALESCE(sum(amount_refunded), 0) AS refunded
     FROM sandbox.payment_intents`,
  );
  // Metadata is client text: replace characters that could control a terminal.
  const lines = [COLUMNS, ...rows].map((row) => row.map((cell) => cell.replaceAll(/[^!-~]/g, '?')));
  const widths = COLUMNS.map((_, i) => Math.max(...lines.map((row) => row[i]!.length)));
  const table = lines.map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  '));
  const { payments, taken, refunded } = sums[0]!;
  const sum = `${payments} payments, ${taken} taken, ${refunded} refunded (minor units, all currencies)`;
  return `${[...table.map((line) => line.trimEnd()), '', sum].join('\n')}\n`;
}
