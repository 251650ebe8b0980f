import type pg from 'pg';
import type { Params } from './form.params.js';
import { invalidRequest, noSuch } from './stripe.errors.js';

/** A ledger table that can be listed: it has `id` and `created_at`. */
interface ListedTable {
  table: 'sandbox.payment_intents' | 'sandbox.refunds' | 'sandbox.events';
  /** Stripe's name for the object in "No such ...". */
  noun: string;
  /** Further conditions. Column and operator come from our code, never from input. A list means any of its values. */
  where?: readonly [column: string, value: string | string[], operator?: '=' | 'LIKE'][];
}

const CREATED_BOUNDS = ['created[gt]', 'created[gte]', 'created[lt]', 'created[lte]'];

/** The names of the parameters that `listPage` reads. */
export const LIST_PARAMS = [
  'limit',
  'starting_after',
  'ending_before',
  'created',
  ...CREATED_BOUNDS,
];

// The unix time of the year 5138; to_timestamp() is exact far beyond it.
const MAX_SECONDS = 99_999_999_999;

/**
 * One page, newest first by (created_at, id). This is a total order, so pages neither skip nor repeat rows of the
 * same instant. `created` compares whole unix seconds, as the objects show them. SQL resolves the cursors: a
 * JavaScript Date would lose the microseconds.
 */
export async function listPage<Row extends pg.QueryResultRow>(
  db: pg.Pool,
  { table, noun, where = [] }: ListedTable,
  params: Params,
): Promise<{ rows: Row[]; hasMore: boolean }> {
  const limit = params.integer('limit', 1, 100) ?? 10;
  const after = params.text('starting_after');
  const before = params.text('ending_before');
  if (after !== undefined && before !== undefined) {
    throw invalidRequest('You cannot specify both starting_after and ending_before.');
  }
  const values: (string | string[] | number)[] = [];
  const bind = (value: string | string[] | number): string => `$${values.push(value)}`;
  const conditions = where.map(([column, value, operator = '=']) =>
    Array.isArray(value)
      ? `${column} = ANY(${bind(value)})`
      : `${column} ${operator} ${bind(value)}`,
  );
  for (const [operator, seconds] of createdRange(params)) {
    conditions.push(`created_at ${operator} to_timestamp(${bind(seconds)}::double precision)`);
  }
  const cursor = after ?? before;
  if (cursor !== undefined) {
    const found = await db.query(`SELECT 1 FROM ${table} WHERE id = $1`, [cursor]);
    if (found.rowCount === 0) {
      throw noSuch(400, noun, cursor, after === undefined ? 'ending_before' : 'starting_after');
    }
    conditions.push(
      `(created_at, id) ${before === undefined ? '<' : '>'} ` +
        `(SELECT created_at, id FROM ${table} WHERE id = ${bind(cursor)})`,
    );
  }
  // `ending_before` needs the rows nearest to the cursor, so they are read in ascending order and reversed.
  const direction = before === undefined ? 'DESC' : 'ASC';
  const { rows } = await db.query<Row>(
    `SELECT * FROM ${table}
     ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
     ORDER BY created_at ${direction}, id ${direction} LIMIT ${limit + 1}`,
    values,
  );
  const page = rows.slice(0, limit);
  if (before !== undefined) page.reverse();
  return { rows: page, hasMore: rows.length > limit };
}

/** Converts conditions on whole seconds to half-open intervals of the exact time. */
function createdRange(params: Params): [operator: '>=' | '<', seconds: number][] {
  if (params.has('created') && CREATED_BOUNDS.some((name) => params.has(name)))
    throw invalidRequest('Invalid created: give a timestamp or bounds, not both.', 'created');
  const range: [operator: '>=' | '<', seconds: number][] = [];
  const add = (name: string, operator: '>=' | '<', offset: 0 | 1): void => {
    const seconds = params.integer(name, 0, MAX_SECONDS);
    if (seconds !== undefined) range.push([operator, seconds + offset]);
  };
  add('created', '>=', 0);
  add('created', '<', 1);
  add('created[gte]', '>=', 0);
  add('created[gt]', '>=', 1);
  add('created[lte]', '<', 1);
  add('created[lt]', '<', 0);
  return range;
}
