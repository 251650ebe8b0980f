import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Tx } from '../../../src/database/database.js';
import { findNextAccount, markOldestRelayed } from '../../../src/events/relay.queries.js';
import { freeAbandonedJobs, listDeadLetters, unlockJobs } from '../../../src/jobs/queue-tables.js';
import { FIGURES } from '../../../src/telemetry/database-gauges.js';
import { deleteExpiredBatch } from '../../../src/idempotency/due-records.js';
import { listDueDeliveries } from '../../../src/webhooks/outgoing/delivery.queries.js';
import { charge, send } from '../../support/raw-client.js';
import { startReceiver, type Receiver } from '../../support/receiver.js';
import { startService, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import { newEndpoint, type TestEndpoint } from '../../webhooks/webhooks.support.js';
import { countSteps } from './statements.support.js';

/** The long backlog of one account, one endpoint or the queue: no statement reads all of it to find a few rows. */
let service: Service;
let receiver: Receiver;
let session: pg.Client;
let hanging: TestEndpoint;
let quick: TestEndpoint;
let accounts: string[];

const BACKLOG = 20_000;
/** A round of the delivery loop reads a hundred of the oldest, in nine nodes of its plan. */
const MAX_STEPS = 1_500;

beforeAll(async () => {
  receiver = await startReceiver();
  service = await startService({ env: { WEBHOOK_CONCURRENCY: '8' } });
  session = new pg.Client({ connectionString: service.databaseUrl });
  await session.connect();
  hanging = await newEndpoint(service, receiver, ['order.paid']);
  quick = await newEndpoint(service, receiver, ['order.canceled']);
  await charge(service.apiUrl, 'one');
  await charge(service.apiUrl, 'one', {}, { apiKey: 'sk_test_globex' });
  const events = await session.query<{ account_id: string; id: string }>(
    'SELECT account_id, id FROM events ORDER BY account_id',
  );
  accounts = events.rows.map(({ account_id }) => account_id);
  await session.query(
    `INSERT INTO events (account_id, id, type, cause, data, created_at)
     SELECT account_id, 'evt_' || n, type, cause, data, created_at - n * interval '1 ms'
     FROM events, generate_series(1, $1) AS n WHERE account_id = $2`,
    [BACKLOG, accounts[0]],
  );
  await session.query(
    `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, next_attempt_at)
     SELECT endpoint.account_id, 'del_' || endpoint.id || n, endpoint.id, event.id, 'pending', now() - n * interval '1 ms'
     FROM webhook_endpoints AS endpoint JOIN LATERAL (
       SELECT id FROM events WHERE account_id = endpoint.account_id LIMIT 1) AS event ON true,
     generate_series(1, CASE endpoint.id WHEN $2 THEN $1::int ELSE 1 END) AS n`,
    [BACKLOG, hanging.id],
  );
  await session.query(
    `WITH task AS (INSERT INTO graphile_worker._private_tasks (identifier) VALUES ('waits') RETURNING id)
     INSERT INTO graphile_worker._private_jobs (task_id) SELECT id FROM task, generate_series(1, $1)`,
    [BACKLOG],
  );
  await session.query('ANALYZE');
});
afterAll(async () => {
  await session.end();
  await service.stop();
  await receiver.stop();
});

/** Runs statements of ours, without effect. @returns how many rows the nodes of their plans handled. */
async function stepsOf(run: (db: Tx) => Promise<unknown>): Promise<number> {
  let steps = 0;
  const query = async (text: string, values?: unknown[]) => {
    steps += await countSteps(session, text, values);
    return text.startsWith('SELECT') ? (await session.query(text, values)).rows : [];
  };
  await session.query('BEGIN');
  await run({ query } as unknown as Tx);
  await session.query('ROLLBACK');
  return steps;
}

const db = {
  query: async (text: string, values?: unknown[]) => (await session.query(text, values)).rows,
} as Tx;

describe('of one account or endpoint', () => {
  test('the relay finds the next account past the events of another', async () => {
    const [first, second] = accounts;
    expect(await findNextAccount(db, '')).toBe(first);
    expect(await findNextAccount(db, first!)).toBe(second);
    expect(await findNextAccount(db, second!)).toBeUndefined();
    for (const after of ['', ...accounts])
      expect(await stepsOf((tx) => findNextAccount(tx, after))).toBeLessThan(10);
  });

  test('the relay reads the events that it marks', async () => {
    const steps = await stepsOf((tx) => markOldestRelayed(tx, accounts[0]!, 50));
    expect(steps).toBeLessThan(1_000);
  });

  test('a delivery is found behind those of an endpoint that has its share', async () => {
    const ofEndpoints = async (full: string[]) =>
      (await listDueDeliveries(db, 8, full)).map(({ endpoint_id }) => endpoint_id);
    expect(await ofEndpoints([])).toEqual(Array(8).fill(hanging.id));
    expect(await ofEndpoints([hanging.id])).toEqual([quick.id]);
    for (const full of [[], [hanging.id], [accounts[0]!], [hanging.id, quick.id]])
      expect(await stepsOf((tx) => listDueDeliveries(tx, 8, full))).toBeLessThan(MAX_STEPS);
  });
});

test('the reaper reads the records that it deletes, also if PostgreSQL knows of no expired ones', async () => {
  await session.query('ALTER TABLE idempotency_records SET (autovacuum_enabled = off)');
  await session.query(
    `INSERT INTO idempotency_records SELECT (jsonb_populate_record(record, jsonb_build_object(
       'key', key || n, 'resource_id', resource_id || n))).*
     FROM idempotency_records AS record, generate_series(1, $1) AS n WHERE account_id = $2`,
    [BACKLOG, accounts[0]],
  );
  await session.query('ANALYZE idempotency_records');
  await session.query(`UPDATE idempotency_records SET expires_at = now() - interval '1 second'`);
  expect(await stepsOf((tx) => deleteExpiredBatch(tx, 50))).toBeLessThan(BACKLOG / 2);
});

describe('of jobs', () => {
  test('those that are locked or dead are found past those that wait', async () => {
    for (const find of [
      (tx: Tx) => freeAbandonedJobs(tx, 0),
      (tx: Tx) => unlockJobs(tx, ['worker']),
      listDeadLetters,
    ])
      expect(await stepsOf(find)).toBeLessThan(10);
  });

  test('the metrics read none, but each event that waits', async () => {
    expect(await stepsOf((tx) => tx.query(FIGURES))).toBeLessThan(1.5 * BACKLOG);
  });
});

describe('an endpoint with a long backlog', () => {
  const countPending = async () => {
    const { rows } = await session.query<{ count: number }>(
      `SELECT count(*)::int FROM webhook_deliveries WHERE endpoint_id = $1 AND status = 'pending'`,
      [hanging.id],
    );
    return rows[0]!.count;
  };

  test('that hangs does not delay another; deleted, it gets no more', async () => {
    const answer = receiver.hold(hanging.path);
    await session.query('UPDATE events SET relayed_at = now()');
    await session.query('DELETE FROM graphile_worker._private_jobs');
    await service.startWorker();
    await receiver.received(quick.path);
    const path = `${service.apiUrl}/webhook-endpoints/${hanging.id}`;
    expect((await send(path, { method: 'DELETE' })).status).toBe(204);
    expect(await countPending()).toBeGreaterThan(BACKLOG / 2); // not all in the transaction of the request
    answer();
    await until(async () => (await countPending()) === 0);
    expect(receiver.at(hanging.path).length).toBeLessThanOrEqual(8);
  });
});
