import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import pg from 'pg';

/** The migrated template of every test database. global-setup.mjs makes it. */
export const TEMPLATE_DATABASE = 'charge_once_template';

/** The connection string of another database on the tests' cluster. */
export function testDatabaseUrl(database: string): string {
  const url = new URL(adminUrl());
  url.pathname = `/${database}`;
  return url.href;
}

/** The name of this Jest worker's own database. Its first test file creates it. */
export async function workerDatabase(): Promise<string> {
  const name = `worker_${process.env.JEST_WORKER_ID}`;
  if (process.env.CHARGE_ONCE_WORKER_DATABASE !== name) {
    await asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`); // left by a worker that died
    await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE_DATABASE}`);
    process.env.CHARGE_ONCE_WORKER_DATABASE = name;
  }
  return name;
}

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A new, migrated, empty database. */
export async function freshDatabase(): Promise<TestDatabase> {
  return copyOf(TEMPLATE_DATABASE);
}

/** A copy of a database, like a restored backup. The database must have no connections. */
export async function backUp({ url }: TestDatabase): Promise<TestDatabase> {
  return copyOf(new URL(url).pathname.slice(1));
}

async function copyOf(template: string): Promise<TestDatabase> {
  const name = `fresh_${process.env.JEST_WORKER_ID ?? '0'}_${randomBytes(5).toString('hex')}`;
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: testDatabaseUrl(name),
    // FORCE: the server notices the end of a killed process' connections only later.
    drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * Copies a stopped cluster with the migrated database `charge_once`, for a test with its own PostgreSQL. Starting from
 * nothing costs three seconds of CPU, and only a few tests are about that.
 */
export async function copyCluster(dataDir: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', fromGlobalSetup('CHARGE_ONCE_TEST_CLUSTER'), dataDir]);
}

/**
 * A test's own connections. `end` of a pool resolves before the server has closed them, so the forced drop of the
 * database may still end one: ignore that error.
 */
export function openPool(url: string, max = 2): pg.Pool {
  return new pg.Pool({ connectionString: url, max })
    .on('error', () => undefined)
    .on('connect', (client) => client.on('error', () => undefined));
}

async function asAdmin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl() });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function adminUrl(): string {
  return fromGlobalSetup('CHARGE_ONCE_TEST_ADMIN_URL');
}

function fromGlobalSetup(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error('global-setup.mjs has not run: start the tests with npm test');
  return value;
}
