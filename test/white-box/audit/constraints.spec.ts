import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Database } from '../../../src/database/database.js';
import { REFUSED_FAULTS } from '../../audit/refused-faults.js';
import { auditAfter, bareName, CONSTRAINT, dropConstraint, openBooks } from './audit.support.js';

let books: Awaited<ReturnType<typeof openBooks>>;
let db: Database;
beforeAll(async () => {
  books = await openBooks();
  ({ db } = books);
});
afterAll(() => books.close());

// The audit has no query for these faults. So each constraint must refuse its fault, and the audit must report a
// missing constraint.
describe.each(REFUSED_FAULTS)('$what', ({ sql, refusedBy }) => {
  test('is refused by its constraint', async () => {
    const planted = db.transaction((tx) => books.plant(tx, { sql }));
    await expect(planted).rejects.toMatchObject({ constraint: bareName(refusedBy) });
  });

  test('is found as the missing constraint if that is dropped', async () => {
    const found = await auditAfter(db, (tx) => dropConstraint(tx, refusedBy));
    expect(found).toEqual([
      {
        invariant: CONSTRAINT,
        account_id: '-',
        id: bareName(refusedBy),
        detail: expect.stringMatching(/^(constraint|unique index) is missing$/),
      },
    ]);
  });
});

test('the audit finds a constraint and an index that are not valid', async () => {
  const found = await auditAfter(db, async (tx) => {
    await tx.query('ALTER TABLE charges DROP CONSTRAINT charges_status_is_known');
    await tx.query(
      `ALTER TABLE charges ADD CONSTRAINT charges_status_is_known CHECK (status <> 'paid') NOT VALID`,
    );
    await tx.query(
      `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'charges_one_live_per_order'::regclass`,
    );
  });
  expect(found.map(({ id, detail }) => `${id}: ${detail}`)).toEqual([
    'charges_one_live_per_order: unique index is not valid',
    'charges_status_is_known: constraint is not valid',
  ]);
});

test('constraints.sql lists every valid constraint and unique index of the accounts’ tables', async () => {
  const listed = readFileSync('src/audit/constraints.sql', 'utf8').matchAll(/'(\w+_\w+)'/g);
  const names = new Set([...listed].map(([, name]) => name!));
  const present = await db.query<{ name: string }>(
    `SELECT conname AS name FROM pg_constraint JOIN pg_class AS class ON class.oid = conrelid
     WHERE contype IN ('c', 'f', 'p', 'u') AND convalidated AND relnamespace = 'public'::regnamespace
       AND relname !~ '^(naive_charges|reconciliation_|migrations)'
     UNION SELECT relname FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
     WHERE indisunique AND relnamespace = 'public'::regnamespace
       AND relname !~ '^(naive_charges|reconciliation_|PK_)'`,
  );
  expect(present.map(({ name }) => name).filter((name) => !names.has(name))).toEqual([]);
});
