import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import pg from 'pg';

/** The migrated database that every test database is a copy of; made by global-setup.mjs. */
export const TEMPLATE_DATABASE = 'charge_once_template';

/** Connection string of another database on the tests' cluster. */
export function testDatabaseUrl(database: string): string {
  const url = new URL(adminUrl());
  url.pathname = `/${database}`;
  return url.href;
}

/** The name of this Jest worker's own database, which its first test file makes. */
export async function workerDatabase(): Promise<string> {
  const name = `worker_${process.env.JEST_WORKER_ID}`;
  if (process.env.CHARGE_ONCE_WORKER_DATABASE !== name) {
    await asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`); // of a worker that has died
    await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE_DATABASE}`);
    process.env.CHARGE_ONCE_WORKER_DATABASE = name;
  }
  return name;
}

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A migrated, empty database for a suite that wants one of its own. */
export async function freshDatabase(): Promise<TestDatabase> {
  return copyOf(TEMPLATE_DATABASE);
}

/** What a backup has of a database, which nobody may be connected to. */
export async function backUp({ url }: TestDatabase): Promise<TestDatabase> {
  return copyOf(new URL(url).pathname.slice(1));
}

async function copyOf(template: string): Promise<TestDatabase> {
  const name = `fresh_${process.env.JEST_WORKER_ID ?? '0'}_${randomBytes(5).toString('hex')}`;
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: testDatabaseUrl(name),
    // FORCE: a killed process leaves connections that end only when the server notices.
    drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * Puts a stopped cluster there, whose database `charge_once` is migrated, for a test with a PostgreSQL of its own: a
 * start from nothing takes three seconds of CPU time, and is the subject of a few tests only.
 */
export async function copyCluster(dataDir: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', fromGlobalSetup('CHARGE_ONCE_TEST_CLUSTER'), dataDir]);
}

/**
 * A test's own connections. `end` of a pool resolves before the server has let go of them, and the forced drop of the
 * database may still end one: nobody is to be woken by that.
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
    throw new Error('global-setup.mjs has not run: start the tests by npm test');
  return value;
}
