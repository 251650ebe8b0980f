// Measures what an idempotency key costs. POST /orders over HTTP, against the same two inserts (record and order, one
// transaction) by a pg client alone, and against those inserts behind a plain node:http server. Equal concurrency,
// one database, in turns, so that a change of the machine's load affects all of them.
//
// Needs `npm run build`. Starts its own PostgreSQL with default durability on a free port.

import { randomUUID } from 'node:crypto';
import { Agent, createServer, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { HERE, cpuMs, median, startStack } from './stack.mjs';

const CONCURRENCY = 16;
const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
const POOL = 16;
const ROUNDS = Number(process.env.ROUNDS ?? 6);
const ROUND_MS = Number(process.env.ROUND_MS ?? 4_000);
const ORDER = {
  currency: 'eur',
  items: [{ sku: 'tea', quantity: 2, unit_amount: 1000 }],
  email: 'ann@example.com',
};

const BEGIN_TO_COMMIT = {
  record: `INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
      state, epoch, attempts, in_doubt, first_seen_at, completed_at, expires_at, response_status, response_headers,
      response_body)
    VALUES ($1, $2, 'POST /orders', $3, '\\x00', '{}', 'req_bench', 'completed', 1, 1, false, clock_timestamp(), now(),
      now() + interval '7 days', 201, '{}', $4)`,
  order: `INSERT INTO orders (account_id, id, status, currency, total, items, email, metadata, version)
    VALUES ($1, $2, 'open', 'eur', 2000, $3, 'ann@example.com', '{}', 1)`,
};

if (process.argv[2] === 'http') await serveBare();
else await main();

async function main() {
  const stack = await startStack();
  try {
    const api = await stack.start(join(HERE, 'dist/src/programs/api.js'), {
      env: {
        DATABASE_POOL_SIZE: String(POOL),
        RATE_LIMIT_PER_SECOND: '1000000',
        RATE_LIMIT_BURST: '1000000',
      },
    });
    const bare = await stack.start(fileURLToPath(import.meta.url), { args: ['http'] });
    const pool = new pg.Pool({ connectionString: stack.databaseUrl, max: POOL });
    const account = (await pool.query(`SELECT id FROM accounts WHERE name = 'acme'`)).rows[0].id;

    const lanes = {
      'pg alone': () => insertBoth(pool, account),
      'node:http + pg': () => post(`${bare.url}/orders`),
      'POST /orders': () => post(`${api.url}/orders`),
    };
    const rates = Object.fromEntries(Object.keys(lanes).map((name) => [name, []]));
    for (const once_ of Object.values(lanes)) await run(once_, 1_500); // warm-up
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, once_] of Object.entries(lanes))
        rates[name].push(await run(once_, ROUND_MS));
    }
    // CPU time is more reliable than elapsed time when other programs share the machine.
    for (const [name, { pid }] of [
      ['POST /orders', api],
      ['node:http + pg', bare],
    ]) {
      const before = await cpuMs(pid);
      for (let i = 0; i < 1000; i += CONCURRENCY)
        await Promise.all(Array.from({ length: CONCURRENCY }, lanes[name]));
      const each = ((await cpuMs(pid)) - before) / 1000;
      console.log(
        `${name.padEnd(16)} ${each.toFixed(2)} ms of CPU time in the service for each order`,
      );
    }
    await pool.end();
    const base = median(rates['pg alone']);
    const http = median(rates['node:http + pg']);
    for (const [name, each] of Object.entries(rates)) {
      const rate = median(each);
      console.log(
        `${name.padEnd(16)} ${rate.toFixed(0).padStart(6)} /s   ${(rate / base).toFixed(2)} of pg alone   ` +
          `${(rate / http).toFixed(2)} of node:http + pg   (${each.map((r) => r.toFixed(0)).join(' ')})`,
      );
    }
  } finally {
    await stack.stop();
  }
}

/** Runs per second, with CONCURRENCY of them in flight. */
async function run(one, ms) {
  const start = performance.now();
  let done = 0;
  const lane = async () => {
    while (performance.now() - start < ms) {
      await one();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return (done * 1000) / (performance.now() - start);
}

/** The same two rows in one transaction: the minimum for any service that stores a record beside an order. */
async function insertBoth(pool, account) {
  const id = `ord_${randomUUID()}`;
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const answer = JSON.stringify({ id, ...ORDER });
    await client.query(BEGIN_TO_COMMIT.record, [account, randomUUID(), id, answer]);
    await client.query(BEGIN_TO_COMMIT.order, [account, id, JSON.stringify(ORDER.items)]);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}

/** The minimal service: reads the body, writes both rows, responds. No key, no check, no error handling. */
async function serveBare() {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: POOL });
  const account = (await pool.query(`SELECT id FROM accounts WHERE name = 'acme'`)).rows[0].id;
  const server = createServer(async (incoming, answer) => {
    let text = '';
    for await (const chunk of incoming) text += chunk;
    if (text !== '') JSON.parse(text);
    if (incoming.method === 'POST') await insertBoth(pool, account);
    answer.writeHead(incoming.method === 'POST' ? 201 : 200, {
      'content-type': 'application/json',
    });
    answer.end(text);
  });
  server.listen(Number(process.env.PORT), '127.0.0.1');
  process.once('SIGTERM', () => process.exit(0));
}

function post(url) {
  const body = JSON.stringify(ORDER);
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: 'POST',
      agent,
      headers: {
        authorization: 'Bearer sk_test_acme',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'idempotency-key': randomUUID(),
      },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 201 ? resolve() : reject(new Error(`${response.statusCode}`)),
      );
    });
    sent.end(body);
  });
}
