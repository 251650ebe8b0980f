// Measures how long after an event the merchant's webhook arrives, and how many events one worker can deliver in a
// second. Records events at a fixed rate, as the end of a charge does; a receiver notes when each arrives.
//
// Needs `npm run build`. Starts its own PostgreSQL with default durability on a free port. DELAY_SECONDS: how long
// each rate lasts.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { recordEvent } from '../dist/modules/src/events/events.js';
import { databaseOptions, TypeOrmDatabase } from '../dist/modules/src/database/database.js';
import { CHARGE } from './load.mjs';
import { HERE, cpuMs, startStack } from './stack.mjs';

const DELAY_SECONDS = Number(process.env.DELAY_SECONDS ?? 20);
const RATES = [2, 50, 100, 250];
/** Aims in ms: the median at 50 events a second, and the 99th percentile at the highest rate. */
const AIMS = { medianAt50: 50, lateAtMost: 2_000 };
const AUTHORIZATION = { authorization: 'Bearer sk_test_acme' };

const stack = await startStack();
try {
  process.exitCode = (await measureDelay(stack.databaseUrl, await startApi())) ? 0 : 1;
} finally {
  await stack.stop();
}

async function startApi() {
  const sandbox = await stack.startSandbox();
  return stack.start(join(HERE, 'dist/src/programs/api.js'), {
    env: { PROCESSOR_URL: sandbox.url },
  });
}

/** @returns whether the aims were met. */
async function measureDelay(databaseUrl, api) {
  const receiver = await startReceiver();
  const dataSource = await new DataSource(databaseOptions(databaseUrl, 8)).initialize();
  const db = new TypeOrmDatabase(dataSource);
  const worker = await stack.start(join(HERE, 'dist/src/programs/worker.js'), {
    env: { DATABASE_URL: databaseUrl, PROCESSOR_URL: api.url },
    portName: 'WORKER_PORT',
  });
  try {
    const accountId = await subscribe(api.url, receiver.url, db);
    console.log(
      '| events /s | recorded /s | p50 ms | p99 ms | CPU ms: worker |\n|---:|---:|---:|---:|---:|',
    );
    let reached = true;
    await delay(2_000); // the worker has started its loops
    for (const rate of RATES) {
      const cpu = await cpuMs(worker.pid);
      const recorded = await recordAt(rate, db, accountId);
      await receiver.until([...recorded.keys()]);
      const used = ((await cpuMs(worker.pid)) - cpu) / recorded.size;
      const delays = [...recorded].map(([id, at]) => receiver.arrived.get(id) - at);
      delays.sort((a, b) => a - b);
      const of = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
      const figures = [
        rate,
        (recorded.size / DELAY_SECONDS).toFixed(0),
        of(0.5).toFixed(0),
        of(0.99).toFixed(0),
        used.toFixed(1),
      ];
      console.log(`| ${figures.join(' | ')} |`);
      if (rate === 50) reached &&= of(0.5) <= AIMS.medianAt50;
      reached &&= of(0.99) <= AIMS.lateAtMost;
      receiver.arrived.clear();
    }
    return reached;
  } finally {
    await stack.end(worker);
    await dataSource.destroy();
    await receiver.close();
  }
}

/** @returns the account whose endpoint receives `charge.succeeded` at that URL. */
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

/** Records events at a fixed rate, even if deliveries lag. @returns the commit time of each event, by its id. */
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
        const id = `ch_${randomUUID()}`;
        const cause = { account_id: accountId, id };
        const object = { id, object: 'charge', status: 'succeeded', ...CHARGE };
        await db.transaction((tx) => recordEvent(tx, { type: 'charge.succeeded', cause, object }));
        recorded.set(id, performance.now());
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
