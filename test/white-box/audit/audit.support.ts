import { expect } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import type { Finding } from '../../../src/audit/invariant.js';
import type { Database, Tx } from '../../../src/database/database.js';
import { writeCleanBooks, type Ids } from '../../audit/clean-books.js';
import type { Fault } from '../../audit/faults.js';
import { openFreshDatabase } from '../../support/open-database.js';

/** The one invariant without an account. */
export const CONSTRAINT = 'constraint_missing_or_not_valid';

/** Two accounts without a fault, and ways to plant faults in the first. */
export async function openBooks() {
  const { db, url, close } = await openFreshDatabase();
  const ids = await writeCleanBooks(db, 'acme');
  await writeCleanBooks(db, 'globex');
  const plant = async (tx: Tx, { drop = [], sql }: Omit<Fault, 'invariant'>) => {
    for (const name of drop) await dropConstraint(tx, name);
    await runEach(
      tx,
      sql.replaceAll(/\$(\w+)/g, (_, name: keyof Ids) => ids[name]),
    );
  };
  return { db, url, close, ids, plant };
}

/** Changes the rows in a transaction, runs the audit in it, and rolls it back. */
export async function auditAfter(
  db: Database,
  change: (tx: Tx) => Promise<unknown>,
  ttlSeconds?: number,
): Promise<Finding[]> {
  const undo = new Error('rolls the transaction back');
  let found: Finding[] = [];
  const changed = db.transaction(async (tx) => {
    await change(tx);
    found = await audit(tx, ttlSeconds);
    throw undo;
  });
  await expect(changed).rejects.toBe(undo);
  return found;
}

/** @param name as `table.constraint` or `INDEX name`. */
export async function dropConstraint(tx: Tx, name: string): Promise<void> {
  const [table, constraint] = name.split('.');
  await tx.query(
    constraint ? `ALTER TABLE ${table} DROP CONSTRAINT ${constraint}` : `DROP ${name}`,
  );
}

export const bareName = (name: string) => name.split(/[. ]/)[1]!;

/** A `Tx` takes one statement; no literal of the faults has a semicolon. */
export async function runEach(tx: Tx, statements: string): Promise<void> {
  for (const sql of statements.split(';')) if (sql.trim() !== '') await tx.query(sql);
}
