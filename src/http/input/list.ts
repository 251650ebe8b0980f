import { IsString, MaxLength } from 'class-validator';
import type { Database } from '../../database/database.js';
import { Doc } from '../description/input-schema.js';
import type { ListReads } from './list-reads.js';
import { validationFailed } from '../problems/problem.js';
import { IsWholeNumber } from './rules.js';
import { MayBeAbsent } from './validation.js';

/** Newest first, by `created_at`, then id. */
export interface List<Wire> {
  object: 'list';
  data: Wire[];
  has_more: boolean;
  url: string;
}

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 100;

export class ListQuery {
  @Doc(`1 to ${MAX_LIMIT}, ${DEFAULT_LIMIT} if left out.`)
  @MayBeAbsent()
  @IsWholeNumber(1, MAX_LIMIT)
  limit?: string;

  @Doc('An id: the page starts after it. Not together with `ending_before`.')
  @MayBeAbsent()
  @IsString()
  @MaxLength(255)
  starting_after?: string;

  @Doc(
    'An id: the page ends before it. Objects that commit later are still missing: see “Following a list”.',
  )
  @MayBeAbsent()
  @IsString()
  @MaxLength(255)
  ending_before?: string;
}

/** What to list. `table` and `columns` come from our code; every value from the client goes into `values`. */
export interface Listing<Row, Wire> {
  table: string;
  columns: string;
  /** The object that the list belongs to, if not the account. The cursor must be in the same list. */
  of?: { column: string; id: string };
  /** Further conditions, with `$2`, `$3`, … for `values`. The row of a cursor may no longer meet them. */
  where?: string[];
  values?: unknown[];
  /**
   * Each row meets exactly one of these conditions. The list is merged from one list per condition. So one index (that
   * column, then the time) serves the list with that filter and without it.
   */
  oneOf?: string[];
  url: string;
  toWire: (row: Row) => Wire;
}

/**
 * One page. SQL compares the cursor with the database's microseconds; in JavaScript, two rows of the same millisecond
 * could hide each other.
 * @throws Problem `validation_failed` if the cursor is not in this list, `rate_limited` if too many lists are being
 *   read.
 */
export async function page<Row, Wire>(
  lists: ListReads,
  accountId: string,
  query: ListQuery,
  listing: Listing<Row, Wire>,
): Promise<List<Wire>> {
  return lists.inTurn(accountId, (db) => readPage(db, accountId, query, listing));
}

async function readPage<Row, Wire>(
  db: Database,
  accountId: string,
  query: ListQuery,
  { table, columns, of, where = [], values = [], oneOf = [], url, toWire }: Listing<Row, Wire>,
): Promise<List<Wire>> {
  const { starting_after: after, ending_before: before } = query;
  if (after !== undefined && before !== undefined) {
    throw validationFailed([
      { pointer: '/ending_before', detail: 'cannot be combined with starting_after' },
    ]);
  }
  const limit = Number(query.limit ?? DEFAULT_LIMIT);
  const conditions = ['account_id = $1', ...where];
  const parameters = [accountId, ...values];
  if (of) conditions.push(`${of.column} = $${parameters.push(of.id)}`);
  const cursor = after ?? before;
  if (cursor !== undefined) {
    if (!(await isInList(db, accountId, cursor, table, of))) {
      const pointer = after === undefined ? '/ending_before' : '/starting_after';
      throw validationFailed([{ pointer, detail: 'names nothing in this list' }]);
    }
    parameters.push(cursor);
    conditions.push(
      `(created_at, id) ${after === undefined ? '>' : '<'}
       (SELECT created_at, id FROM ${table} WHERE account_id = $1 AND id = $${parameters.length})`,
    );
  }
  const direction = before === undefined ? 'DESC' : 'ASC';
  parameters.push(limit + 1);
  const inOrder = `ORDER BY created_at ${direction}, id ${direction} LIMIT $${parameters.length}`;
  const select = (more: string[]) =>
    `SELECT ${columns} FROM ${table} WHERE ${[...conditions, ...more].join(' AND ')} ${inOrder}`;
  const parts = oneOf.map((condition) => `(${select([condition])})`);
  const rows = await db.query<Row>(
    parts.length > 0 ? `${parts.join(' UNION ALL ')} ${inOrder}` : select([]),
    parameters,
  );
  const data = rows.slice(0, limit).map(toWire);
  if (before !== undefined) data.reverse();
  return { object: 'list', data, has_more: rows.length > limit, url };
}

async function isInList(
  db: Database,
  accountId: string,
  id: string,
  table: string,
  of: { column: string; id: string } | undefined,
): Promise<boolean> {
  const rows = await db.query(
    `SELECT 1 FROM ${table} WHERE account_id = $1 AND id = $2 ${of ? `AND ${of.column} = $3` : ''}`,
    [accountId, id, ...(of ? [of.id] : [])],
  );
  return rows.length > 0;
}
