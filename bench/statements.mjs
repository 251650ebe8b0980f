// Measures what a charge's two statements cost in PostgreSQL, without the API: CPU with all indexes and constraints,
// and without a group of them. First it counts the index entries of one charge, from the write-ahead log.
//
// Needs `npm run build`. Starts its own PostgreSQL with default durability. ROUNDS and CHARGES (in each round) set the
// duration.

import { createHash, randomUUID } from 'node:crypto';
import pg from 'pg';
import { chargeToWire } from '../dist/modules/src/charges/charge.entity.js';
import {
  endedCharge,
  pendingCharge,
  writeChargeEnd,
  writePendingCharge,
} from '../dist/modules/src/charges/charge.queries.js';
import { completeRecord, insertOrFindRecord } from '../dist/modules/src/idempotency/records.js';
import { CHARGE } from './load.mjs';
import { cpuBetween, median, startStack } from './stack.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 6);
const CHARGES = Number(process.env.CHARGES ?? 2_000);
const TABLES = `('idempotency_records', 'charges', 'events')`;

const stack = await startStack();
try {
  const pool = new pg.Pool({ connectionString: stack.databaseUrl, max: 16 });
  pool.on('error', () => undefined);
  const db = {
    kind: 'pool',
    query: async (text, values) => (await named(pool, text, values)).rows,
  };
  const account = (await pool.query(`SELECT id FROM accounts WHERE name = 'acme'`)).rows[0].id;
  const admin = new pg.Pool({ connectionString: stack.databaseUrl, max: 1 });
  admin.on('error', () => undefined);
  await charge(db, account); // the first one may extend files
  await printEntries(admin, () => charge(db, account));

  const lanes = {
    'naive charge': { one: () => naive(db, account) },
    ...(await chargeLanes(admin)),
  };
  for (const lane of Object.values(lanes)) lane.one ??= () => charge(db, account);
  for (let round = 0; round < ROUNDS; round++) {
    const turn = Object.values(lanes);
    for (const lane of round % 2 ? turn.reverse() : turn) {
      for (const sql of lane.before ?? []) await admin.query(sql);
      await many(300, lane.one); // sessions plan again after a change
      const before = await stack.postgresCpu();
      await many(CHARGES, lane.one);
      (lane.ms ??= []).push(cpuBetween(before.ours, (await stack.postgresCpu()).ours) / CHARGES);
      for (const sql of lane.after ?? []) await admin.query(sql);
    }
  }
  console.log('\n| lane | PostgreSQL, CPU ms | lowest to highest |\n|---|---:|---|');
  for (const [name, { ms }] of Object.entries(lanes)) {
    const range = [Math.min(...ms), Math.max(...ms)].map((each) => each.toFixed(2)).join(' to ');
    console.log(`| ${name} | ${median(ms).toFixed(2)} | ${range} |`);
  }
  await pool.end();
  await admin.end();
} finally {
  await stack.stop();
}

/** As the service does: each statement has a name, so that a session plans it once. */
function named(pool, text, values) {
  const name = createHash('sha1').update(text).digest('hex');
  return pool.query({ name, text, values });
}

/** Each lane drops a group before its turn, and creates it again afterwards. */
async function chargeLanes(admin) {
  const secondary = await rows(
    admin,
    `SELECT indexname AS name, indexdef AS def FROM pg_indexes WHERE tablename IN ${TABLES}
       AND indexname NOT LIKE '%pkey' AND indexname <> 'idempotency_records_resource_key'`,
  );
  const constraints = await rows(
    admin,
    `SELECT conrelid::regclass AS table, conname AS name, contype AS type, pg_get_constraintdef(oid) AS def
     FROM pg_constraint WHERE conrelid::regclass::text IN ${TABLES} AND contype IN ('c', 'f')`,
  );
  const without = (type) => {
    const group = constraints.filter((each) => each.type === type);
    return {
      before: group.map((each) => `ALTER TABLE ${each.table} DROP CONSTRAINT ${each.name}`),
      after: group.map((e) => `ALTER TABLE ${e.table} ADD CONSTRAINT ${e.name} ${e.def} NOT VALID`),
    };
  };
  return {
    charge: {},
    'without CHECKs': without('c'),
    'without foreign keys': without('f'),
    'without secondary indexes': {
      before: secondary.map(({ name }) => `DROP INDEX ${name}`),
      after: secondary.map(({ def }) => def),
    },
  };
}

async function rows(on, sql) {
  return (await on.query(sql)).rows;
}

/** Prints how many entries one charge adds to each index. */
async function printEntries(admin, one) {
  await admin.query('CREATE EXTENSION pg_walinspect');
  const position = async () =>
    (await rows(admin, 'SELECT pg_current_wal_insert_lsn() AS at'))[0].at;
  const from = await position();
  await one();
  const found = await rows(
    admin,
    `SELECT relname AS name, count(*)::int FROM pg_get_wal_records_info('${from}', '${await position()}'),
       regexp_matches(block_ref, 'rel \\d+/\\d+/(\\d+)', 'g') AS block JOIN pg_class ON relfilenode = block[1]::oid
     WHERE resource_manager = 'Btree' AND record_type LIKE 'INSERT%LEAF%' OR record_type LIKE 'INSERT_POST'
     GROUP BY relname ORDER BY relname`,
  );
  console.log('| index | entries |\n|---|---:|');
  for (const { name, count } of found) console.log(`| ${name} | ${count} |`);
  console.log(`| together | ${found.reduce((sum, { count }) => sum + count, 0)} |`);
}

async function many(count, one) {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: 16 }, lane));
}

/** The two statements of a charge without an order, as the service writes them. */
async function charge(db, account) {
  const key = randomUUID();
  const id = `ch_${key.replaceAll('-', '').slice(0, 26)}`;
  const row = {
    ...{
      account_id: account,
      id,
      ...CHARGE,
      description: null,
      receipt_email: null,
      order_id: null,
    },
    ...{ metadata: {}, processor: 'sandbox', processor_parameters: JSON.stringify(CHARGE) },
  };
  const digest = 'a'.repeat(22);
  const { record, claim } = await insertOrFindRecord(
    db,
    {
      ...{ accountId: account, key, operation: 'POST /charges', id, requestId: `req_${key}` },
      fingerprint: Buffer.alloc(32, 1),
      members: { amount: digest, currency: digest, payment_method: digest },
    },
    10_000,
    writePendingCharge(row),
  );
  const end = { status: 'succeeded', reference: `pi_${id}` };
  const ended = endedCharge(pendingCharge(row, record.first_seen_at), end);
  const object = chargeToWire(ended);
  const headers = { 'Content-Type': 'application/json; charset=utf-8', Location: `/charges/${id}` };
  const answer = { status: 201, headers, body: JSON.stringify(object) };
  const event = { type: 'charge.succeeded', cause: ended, object };
  await completeRecord(db, claim, answer, 86_400, writeChargeEnd(end, event));
}

function naive(db, account) {
  return db.query(
    `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`,
    [
      account,
      randomUUID(),
      CHARGE.amount,
      CHARGE.currency,
      CHARGE.payment_method,
      `pi_${randomUUID()}`,
    ],
  );
}
