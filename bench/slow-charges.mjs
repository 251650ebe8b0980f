// Starts 100 charges together that take 3 s each at the processor, on an API with 10 connections, and measures when
// all have finished. If a connection or transaction were held during the processor call, ten would run at a time and
// the last would end after 30 s. Aim: within 6 s.
//
// Needs `npm run build`. Starts its own stack on free ports, with an empty data directory, or with its own database
// on the server of DATABASE_URL if that is set.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { endWithUs, stopOnSignal } from './stack.mjs';

const CHARGES = 100;
const POOL = 10;
const AIM_SECONDS = 6;

const home = await mkdtemp(join(tmpdir(), 'charge-once-bench-'));
await chmod(home, 0o755); // as root, PostgreSQL runs as another user
const database = await ownDatabase(process.env.DATABASE_URL);
/** Set as soon as the stack has been started, ready or not. */
let stopStack;
stopOnSignal(cleanUp);
try {
  const stack = await startStack();
  const warm = await charge(stack.api, 'warm-up', 'pm_card_visa');
  if (warm.status !== 201) throw new Error(`the API does not charge: ${warm.status}`);

  let mostConnections = 0;
  const watch = await watchConnections(
    stack.databaseUrl,
    (n) => (mostConnections = Math.max(n, mostConnections)),
  );
  const start = performance.now();
  const answers = await Promise.all(
    Array.from({ length: CHARGES }, async (_, i) => {
      const { status } = await charge(stack.api, `slow-${i}`, 'pm_lab_slow');
      return { status, ms: performance.now() - start };
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  await watch.stop();

  const times = answers.map(({ ms }) => ms / 1000).sort((a, b) => a - b);
  const paid = answers.filter(({ status }) => status === 201).length;
  console.log(
    `${paid} of ${CHARGES} charges paid, pool of ${POOL}, at most ${mostConnections} connections in use`,
  );
  console.log(
    `first ${times[0].toFixed(2)} s, median ${times[CHARGES / 2].toFixed(2)} s, all ${seconds.toFixed(2)} s`,
  );
  process.exitCode = paid === CHARGES && seconds <= AIM_SECONDS ? 0 : 1;
} finally {
  await cleanUp();
}

async function cleanUp() {
  await stopStack?.();
  await database?.drop();
  await rm(home, { recursive: true, force: true });
}

/** One charge on its own connection. */
function charge(api, key, paymentMethod) {
  const body = JSON.stringify({ amount: 1999, currency: 'usd', payment_method: paymentMethod });
  return new Promise((resolve, reject) => {
    const sent = request(`${api}/charges`, {
      method: 'POST',
      agent: new Agent(),
      headers: {
        Authorization: 'Bearer sk_test_acme',
        'Content-Type': 'application/json',
        'Idempotency-Key': key,
      },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode }));
    });
    sent.end(body);
  });
}

/** Reports every 50 ms how many connections of the API and the worker are in a statement or a transaction. */
async function watchConnections(url, report) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let watching = true;
  const loop = (async () => {
    while (watching) {
      const { rows } = await client.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE application_name = 'charge-once' AND datname = current_database() AND state <> 'idle'`,
      );
      report(rows[0].n);
      await delay(50);
    }
  })();
  return {
    async stop() {
      watching = false;
      await loop;
      await client.end();
    },
  };
}

async function startStack() {
  const pidsFile = join(home, 'state.json');
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('../dist/src/programs/local.js', import.meta.url))],
    {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: '0',
        WORKER_PORT: '0',
        SANDBOX_PORT: '0',
        LAB_PORT: '0',
        DATA_DIR: home,
        DATABASE_POOL_SIZE: String(POOL),
        CHARGE_ONCE_PIDS_FILE: pidsFile,
        ...(database && { DATABASE_URL: database.url }),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  endWithUs(child);
  const ended = once(child, 'exit');
  stopStack = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  while (child.exitCode === null) {
    const state = await readFile(pidsFile, 'utf8').then(JSON.parse, () => ({}));
    if (state.ready) {
      const { urls, databaseUrl } = state;
      return { api: urls.api, databaseUrl };
    }
    await delay(100);
  }
  throw new Error('the stack did not start: is dist/ built?');
}

/** Creates an unused database on the server of `url`. */
async function ownDatabase(url) {
  if (!url) return undefined;
  const name = `bench_${randomBytes(5).toString('hex')}`;
  const asAdmin = async (sql) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await asAdmin(`CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { url: own.href, drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}
