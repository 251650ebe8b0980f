import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { checkDatabase, UnfitDatabase } from '../../../src/database/database-check.js';
import { migrate } from '../../../src/database/migrate.js';
import { testDatabaseUrl } from '../../support/database.js';

/** A database that belongs to another installation, and one that three processes migrate in parallel. */
const name = `refused_${randomBytes(5).toString('hex')}`;
const url = testDatabaseUrl(name);
let admin: pg.Client;
let session: pg.Client;
beforeAll(async () => {
  admin = new pg.Client({ connectionString: testDatabaseUrl('postgres') });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  session = new pg.Client({ connectionString: url });
  await session.connect();
});
afterAll(async () => {
  await session.end();
  await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await admin.end();
});

async function isThere(table: string): Promise<boolean> {
  const { rows } = await session.query('SELECT to_regclass($1) AS found', [table]);
  return rows[0].found !== null;
}

test('a database of a version before 0.2 is refused, with what to do, before anything is made in it', async () => {
  await session.query('CREATE TABLE migrations (id serial, "timestamp" bigint, name varchar)');
  await session.query(
    `INSERT INTO migrations ("timestamp", name) VALUES (1763760001000, 'Accounts1763760001000')`,
  );
  for (const refused of [migrate(url), checkDatabase(url, true)]) {
    const error = await refused.then(
      () => undefined,
      (refusal: Error) => refusal,
    );
    expect(error).toBeInstanceOf(UnfitDatabase);
    expect(error!.message).toMatch(
      /^The database was made by a version before 0\.2, .+ Create a new database .+ remove `\.data\/` .+\.$/,
    );
  }
  expect([await isThere('accounts'), await isThere('graphile_worker.migrations')]).toEqual([
    false,
    false,
  ]);
  await session.query('DROP TABLE migrations');
});

test('of three concurrent processes one migrates, and the others find nothing left to do', async () => {
  const together = `${name}_together`;
  await admin.query(`CREATE DATABASE ${together}`);
  try {
    const another = testDatabaseUrl(together);
    await Promise.all([1, 2, 3].map(() => migrate(another)));
    await expect(checkDatabase(another, true)).resolves.toBeDefined();
  } finally {
    await admin.query(`DROP DATABASE ${together} WITH (FORCE)`);
  }
});

describe('a database with another installation, in another schema,', () => {
  const useSchema = (schema: string) =>
    admin.query(`ALTER DATABASE ${name} SET search_path = ${schema}`);

  test('is refused before anything is made in it', async () => {
    await migrate(url);
    await session.query('CREATE SCHEMA staging');
    await useSchema('staging');
    const belongsTo =
      /belongs to the installation in the schema "public", but this one is in "staging"/;
    await expect(migrate(url)).rejects.toThrow(belongsTo);
    // Its queue is older than the marks.
    await session.query('COMMENT ON SCHEMA graphile_worker IS NULL');
    await expect(migrate(url)).rejects.toThrow(belongsTo);
    expect(await isThere('staging.migrations')).toBe(false);
  });

  test('is refused at boot too; after a rename of the schema one statement makes it ours again', async () => {
    await session.query('DROP SCHEMA public, graphile_worker CASCADE');
    await migrate(url);
    expect(await isThere('staging.charges')).toBe(true);
    await expect(checkDatabase(url, true)).resolves.toBeDefined();
    await session.query('ALTER SCHEMA staging RENAME TO production');
    await useSchema('production');
    const refusal = await checkDatabase(url, true).catch((error) => error);
    expect(refusal).toBeInstanceOf(UnfitDatabase);
    await session.query(/COMMENT ON SCHEMA .*'/.exec(refusal.message)![0]);
    await migrate(url);
    await expect(checkDatabase(url, true)).resolves.toBeDefined();
  });
});
