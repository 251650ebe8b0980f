import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { isAlive } from '../support/internals.js';
import { freshDatabase } from '../support/database.js';
import { findPgbouncer, startPgbouncer } from '../support/pgbouncer.js';
import { metric } from '../support/metrics.js';
import { charge } from '../support/raw-client.js';
import { type Program, type Stack, type StackOptions, startStack } from '../support/stack.js';
import { until } from '../support/until.js';

// Slow: each `npm start` loads four programs, and one start includes initdb.
let stacks: Stack[] = [];
let homes: string[] = [];

afterEach(async () => {
  for (const stack of stacks) await stack.stop();
  for (const home of homes) await rm(home, { recursive: true, force: true });
  stacks = [];
  homes = [];
});

async function start(options: StackOptions = {}): Promise<Stack> {
  const stack = await startStack(options);
  stacks.push(stack);
  return stack;
}

async function temporaryDirectory(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-data-'));
  await chmod(home, 0o755); // under root, PostgreSQL runs as another user
  homes.push(home);
  return home;
}

async function isReady(url: string): Promise<boolean> {
  return (await fetch(`${url}/health/ready`)).status === 200;
}

async function pidsOf(stack: Stack, names: Program[]): Promise<number[]> {
  return [stack.supervisorPid, ...(await Promise.all(names.map((name) => stack.pid(name))))];
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('npm start with its own PostgreSQL', () => {
  const all: Program[] = ['api', 'worker', 'sandbox', 'postgres'];

  // All on one DATA_DIR, because each start costs seven seconds of CPU time. SIGHUP: see the last test of this file.
  it('starts without data, keeps its data, and leaves no process however it ends', async () => {
    const dataDir = await temporaryDirectory();
    const first = await start({ embedded: 'from nothing', dataDir });
    const pids = await pidsOf(first, all);
    await query(first.databaseUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    expect(await first.stop('SIGTERM')).toBe(0);
    expect(await Promise.all(pids.map(isAlive))).toEqual(pids.map(() => false));

    const second = await start({ embedded: true, dataDir });
    const kept = () => query(second.databaseUrl, 'SELECT answer FROM kept');
    expect(await kept()).toEqual([{ answer: 42 }]);
    // A killed PostgreSQL restarts at the same address.
    await second.restarted('postgres', await second.kill('postgres'));
    await until(async () => (await kept()).length === 1);
    await until(() => isReady(second.apiUrl));
    const others = await pidsOf(second, all);
    expect(await second.stop('SIGINT')).toBe(0);
    expect(await Promise.all(others.map(isAlive))).toEqual(others.map(() => false));
  });

  it('says one line and starts nothing when a port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    try {
      const dataDir = await temporaryDirectory();
      const failed = start({ embedded: true, dataDir, env: { PORT: String(port) } });
      await expect(failed).rejects.toThrow(
        new RegExp(
          `\\nPort ${port} \\(PORT\\) is taken; stop what listens there or set PORT=…\\n$`,
        ),
      );
    } finally {
      other.close();
    }
  });

  it('says one line when the database cannot be reached', async () => {
    const env = { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none' };
    const failed = start({ embedded: true, env });
    await expect(failed).rejects.toThrow(
      /\nThe database 127\.0\.0\.1:1\/none cannot be used: .+\n$/,
    );
    await expect(failed).rejects.not.toThrow(/secret/);
  });

  it('says one line when the database was made by a version before 0.2', async () => {
    const database = await freshDatabase();
    await query(
      database.url,
      `INSERT INTO migrations ("timestamp", name) VALUES (1763760001000, 'Accounts1763760001000')`,
    );
    const env = { DATABASE_URL: database.url, ALLOW_UNSAFE_DATABASE: '1' };
    await expect(start({ embedded: true, env })).rejects.toThrow(
      /\nThe database was made by a version before 0\.2, .+ remove `\.data\/` .+\n$/,
    );
    await database.drop();
  });

  it('says one line when the lock of its migrations is lost', async () => {
    const database = await freshDatabase();
    const blocker = new pg.Client({ connectionString: database.url });
    await blocker.connect();
    await blocker.query('BEGIN; LOCK migrations');
    const env = { DATABASE_URL: database.url, ALLOW_UNSAFE_DATABASE: '1' };
    const refused = expect(start({ embedded: true, env })).rejects.toThrow(
      /\nThe connection that holds the lock of the migrations was lost while they ran\. .+\n$/,
    );
    await until(async () => {
      const { rowCount } = await blocker.query(
        `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
           AND database IN (SELECT database FROM pg_locks WHERE relation = 'migrations'::regclass AND NOT granted)`,
      );
      return rowCount === 1;
    });
    await refused;
    await blocker.end();
    await database.drop();
  });
});

const pgbouncer = findPgbouncer();
if (!pgbouncer)
  console.log('skipped: PgBouncer is not installed here (Debian: apt install pgbouncer)');
(pgbouncer ? describe : describe.skip)('npm start behind PgBouncer', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let bouncer: Awaited<ReturnType<typeof startPgbouncer>> | undefined;
  const startBehind = async (ignored?: string) => {
    bouncer = await startPgbouncer(pgbouncer ?? '', database.url, ignored);
    const env = { DATABASE_URL: bouncer.url, ALLOW_UNSAFE_DATABASE: '1' };
    return start({ embedded: true, env });
  };
  beforeEach(async () => {
    database = await freshDatabase();
  });
  afterEach(async () => {
    await bouncer?.stop();
    await database.drop();
  });

  it('starts with the setting that the README names, including the sandbox', async () => {
    const stack = await startBehind();
    expect((await charge(stack.apiUrl, 'bounced')).status).toBe(201);
  });

  it('names that setting if it is missing', async () => {
    await expect(startBehind('extra_float_digits')).rejects.toThrow(
      /\nThe pooler .* Set ignore_startup_parameters = options in PgBouncer\.\n$/,
    );
  });
});

describe('npm start on an existing database, with the options of the shell', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let stack: Stack;

  beforeAll(async () => {
    database = await freshDatabase();
    // A connection without the options finds no tables.
    await query(database.url, 'DROP SCHEMA public, graphile_worker CASCADE');
    await query(database.url, 'CREATE SCHEMA shop');
    stack = await startStack({
      embedded: true, // `startStack` must not make another database
      env: {
        ...{ DATABASE_URL: database.url, PGOPTIONS: '-c search_path=shop' },
        ...{ SANDBOX_WEBHOOK_DELAY_MS: '0', ALLOW_UNSAFE_DATABASE: '1' },
      },
    });
  });

  afterAll(async () => {
    await stack.stop();
    await database.drop();
  });

  it('restarts a killed API, worker and sandbox at the same address', async () => {
    const urls = { api: stack.apiUrl, worker: stack.workerUrl, sandbox: stack.sandboxUrl };
    for (const name of ['api', 'worker', 'sandbox', 'api'] as const) {
      const victim = await stack.kill(name);
      await stack.restarted(name, victim);
      await until(() => isReady(urls[name]));
    }
  });

  it('prints the addresses, the demo keys and a curl to paste', async () => {
    await until(async () => stack.output().includes('"payment_method":"pm_card_visa"'));
    for (const text of [
      /^Ready after [\d.]+ s\.$/m,
      stack.apiUrl,
      stack.workerUrl,
      stack.sandboxUrl,
      'sk_test_acme, sk_test_globex',
      `curl -i ${stack.apiUrl}/charges`,
    ]) {
      expect(stack.output()).toMatch(text);
    }
    const curl = /curl -i[^]*?pm_card_visa"}'/.exec(stack.output())?.[0] ?? '';
    const { stdout } = await promisify(execFile)('sh', ['-c', curl]);
    expect(stdout).toMatch(/^HTTP\/1.1 201 Created/);
  });

  it('opens every connection with those options', async () => {
    expect(await query(database.url, 'SELECT FROM shop.charges')).toHaveLength(1);
    expect(await metric(stack.apiUrl, 'unfinished_records')).toBe(0);
    expect(stack.output()).not.toMatch(/42P01|42704/);
  });

  it('answers accepted requests before it stops', async () => {
    const headers = { authorization: 'Bearer sk_test_acme', 'content-type': 'application/json' };
    const charge = fetch(`${stack.apiUrl}/charges`, {
      method: 'POST',
      headers: { ...headers, 'idempotency-key': 'slow-1' },
      // The sandbox takes 3 s for it, so it must outlive the API.
      body: '{"amount":1999,"currency":"usd","payment_method":"pm_lab_slow"}',
    });
    await until(async () => {
      const key = await fetch(`${stack.apiUrl}/idempotency-keys/slow-1`, { headers });
      return ((await key.json()) as { state?: string }).state === 'in_progress';
    });
    const pids = await pidsOf(stack, ['api', 'worker', 'sandbox']);
    const stopped = stack.stop('SIGHUP'); // sent when a terminal is closed
    expect((await charge).status).toBe(201);
    expect(await stopped).toBe(0);
    expect(await Promise.all(pids.map(isAlive))).toEqual(pids.map(() => false));
    expect(stack.output()).not.toContain('is killed'); // it stopped by itself in time
  });
});
