// What does it cost a charge to enqueue what follows from it, and how long after it is the merchant's webhook there?
//
// Three databases, told apart by the queue's `add_job`: as it is (each job is announced by NOTIFY), silent (nobody is
// notified, the worker polls), and none (no job is added). Charges on all three in turns give the cost. Then events are
// recorded at a fixed rate, as the end of a charge records them, and a receiver notes when each one arrives, with a
// worker that is notified and with one that only polls.
//
// Needs `npm run build`. Brings its own PostgreSQL with default durability on a free port.
// ROUNDS, ROUND_SECONDS: of the first part; DELAY_SECONDS: of each rate of the second.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { recordEvent } from '../dist/modules/src/events/events.js';
import { databaseOptions, TypeOrmDatabase } from '../dist/modules/src/platform/database.js';
import { CHARGE, fire } from './load.mjs';
import { HERE, cpuMs, median, startStack } from './stack.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const ROUND_SECONDS = Number(process.env.ROUND_SECONDS ?? 4);
const DELAY_SECONDS = Number(process.env.DELAY_SECONDS ?? 20);
const RATES = [2, 50, 100, 200];
const CONNECTIONS = 16;
const AUTHORIZATION = { authorization: 'Bearer sk_test_acme' };

const stack = await startStack();
try {
  const queues = {
    'as it is': stack.databaseUrl,
    silent: await databaseWith('silent', (add) => add.replaceAll(/perform pg_notify\([^;]+;/g, '')),
    none: await databaseWith('none', (add) =>
      add.replace(/\nbegin\n/i, '\nbegin\n  return null;\n'),
    ),
  };
  const apis = await startApis(queues);
  await measureCost(apis);
  for (const name of ['as it is', 'silent']) await measureDelay(name, queues[name], apis[name]);
} finally {
  await stack.stop();
}

/** A copy of the schema in which `add_job` and what it calls are edited. */
async function databaseWith(name, edit) {
  const url = await stack.createDatabase(name);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(
      `SELECT pg_get_functiondef(oid) AS text FROM pg_proc
       WHERE pronamespace = 'graphile_worker'::regnamespace AND proname IN ('add_job', 'add_jobs')`,
    );
    const edited = rows.map(({ text }) =>
      text.includes('add_jobs(specs') && name === 'none' ? text : edit(text),
    );
    if (edited.every((text, i) => text === rows[i].text)) throw new Error('add_job has changed');
    for (const text of edited) await client.query(text);
  } finally {
    await client.end();
  }
  return url;
}

async function startApis(queues) {
  const sandbox = await stack.startSandbox();
  const apis = {};
  for (const [name, url] of Object.entries(queues)) {
    apis[name] = await stack.start(join(HERE, 'dist/src/main.js'), {
      env: {
        DATABASE_URL: url,
        PROCESSOR_URL: sandbox.url,
        RATE_LIMIT_PER_SECOND: '1000000',
        RATE_LIMIT_BURST: '1000000',
      },
    });
  }
  return apis;
}

async function measureCost(apis) {
  const lanes = Object.entries(apis).map(([name, { url }]) => {
    const run = (duration) =>
      fire(`${url}/charges`, randomUUID, CHARGE, { connections: CONNECTIONS, duration });
    return { name, run, rates: [] };
  });
  for (const { run } of lanes) await run(3); // warm-up
  for (let round = 0; round < ROUNDS; round++) {
    for (const { run, rates } of round % 2 ? [...lanes].reverse() : lanes) {
      const began = performance.now();
      const answered = (await run(ROUND_SECONDS))['2xx'];
      rates.push((answered * 1000) / (performance.now() - began));
    }
  }
  const none = lanes.find(({ name }) => name === 'none');
  console.log('| queue | charges /s | to none |\n|---|---:|---:|');
  for (const { name, rates } of lanes) {
    const ratio = median(rates.map((rate, i) => rate / none.rates[i]));
    console.log(`| ${name} | ${median(rates).toFixed(0)} | ${ratio.toFixed(2)} |`);
  }
  console.log();
}

async function measureDelay(name, databaseUrl, api) {
  await emptyQueue(databaseUrl);
  const receiver = await startReceiver();
  const dataSource = await new DataSource(databaseOptions(databaseUrl, 8)).initialize();
  const db = new TypeOrmDatabase(dataSource);
  const worker = await stack.start(join(HERE, 'dist/src/worker.js'), {
    env: { DATABASE_URL: databaseUrl, PROCESSOR_URL: api.url },
    portName: 'WORKER_PORT',
  });
  try {
    const accountId = await subscribe(api.url, receiver.url, db);
    if (name === 'as it is')
      console.log(
        '| queue | events /s | recorded /s | p50 ms | p99 ms | CPU ms: worker |\n|---|---:|---:|---:|---:|---:|',
      );
    for (const rate of RATES) {
      const cpu = await cpuMs(worker.pid);
      const recorded = await recordAt(rate, db, accountId);
      await receiver.until([...recorded.keys()]);
      const used = ((await cpuMs(worker.pid)) - cpu) / recorded.size;
      const delays = [...recorded].map(([id, at]) => receiver.arrived.get(id) - at);
      delays.sort((a, b) => a - b);
      const of = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
      const figures = [
        name,
        rate,
        (recorded.size / DELAY_SECONDS).toFixed(0),
        of(0.5).toFixed(0),
        of(0.99).toFixed(0),
        used.toFixed(1),
      ];
      console.log(`| ${figures.join(' | ')} |`);
      receiver.arrived.clear();
    }
  } finally {
    await stack.end(worker);
    await dataSource.destroy();
    await receiver.close();
  }
}

/** The charges of the first part are not what is measured here. */
async function emptyQueue(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('TRUNCATE graphile_worker._private_jobs');
  await client.end();
}

/** @returns the account that hears of `charge.succeeded` there. */
async function subscribe(apiUrl, url, db) {
  const response = await fetch(`${apiUrl}/webhook-endpoints`, {
    method: 'POST',
    headers: {
      ...AUTHORIZATION,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    },
    body: JSON.stringify({ url, events: ['charge.succeeded'] }),
  });
  if (response.status !== 201) throw new Error(`no endpoint: ${await response.text()}`);
  const { id } = await response.json();
  const [row] = await db.query('SELECT account_id FROM webhook_endpoints WHERE id = $1', [id]);
  return row.account_id;
}

/** Records events at a rate, whatever becomes of them. @returns when each was committed, by its id. */
async function recordAt(rate, db, accountId) {
  const recorded = new Map();
  const pending = [];
  const began = performance.now();
  const count = rate * DELAY_SECONDS;
  for (let i = 0; i < count; i++) {
    const wait = began + (i * 1000) / rate - performance.now();
    if (wait > 0) await delay(wait);
    pending.push(
      (async () => {
        const cause = `ch_${randomUUID()}`;
        const object = { id: cause, object: 'charge', status: 'succeeded', ...CHARGE };
        await db.transaction((tx) =>
          recordEvent(tx, { accountId, type: 'charge.succeeded', cause, object }),
        );
        recorded.set(cause, performance.now());
      })(),
    );
  }
  await Promise.all(pending);
  return recorded;
}

async function startReceiver() {
  const arrived = new Map();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { data } = JSON.parse(Buffer.concat(chunks).toString());
    if (!arrived.has(data.object.id)) arrived.set(data.object.id, performance.now());
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    arrived,
    async until(ids) {
      while (!ids.every((id) => arrived.has(id))) await delay(20);
    },
    close: () => new Promise((done) => server.close(done).closeAllConnections()),
  };
}
