import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { metric } from '../support/metrics.js';
import { until } from '../support/until.js';
import {
  charge,
  openSite,
  send,
  startProgram,
  type Program,
  type Site,
} from './operation.support.js';

let site: Site;
let api: Program;
beforeAll(async () => {
  site = await openSite();
  api = await startProgram('api.js', site.env);
});
afterAll(async () => {
  await api.stop();
  await site.close();
});

describe('GET /metrics', () => {
  const read = async (program: Program) => (await send(`${program.url}/metrics`)).text;
  const value = (text: string, name: string) => {
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  };

  it('counts outcomes, requests and processor calls, needs no API key and contains no value of a client', async () => {
    await charge(site, api.url, 'metric-1');
    await charge(site, api.url, 'metric-1');
    await charge(site, api.url, 'metric-2', { payment_method: 'pm_card_visa_chargeDeclined' });
    await send(`${api.url}/charges/ch_metric`, { apiKey: site.apiKey });
    const reply = await send(`${api.url}/metrics`);
    expect(reply.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const outcome = (name: string) =>
      value(
        reply.text,
        `charge_once_key_outcomes_total{operation="POST /charges",outcome="${name}"}`,
      );
    expect(outcome('executed')).toBeGreaterThanOrEqual(2);
    expect(outcome('replayed')).toBeGreaterThanOrEqual(1);
    const calls = 'charge_once_processor_call_duration_seconds_count{call="pay",answer=';
    expect(value(reply.text, `${calls}"succeeded"}`)).toBeGreaterThanOrEqual(1);
    expect(value(reply.text, `${calls}"declined"}`)).toBeGreaterThanOrEqual(1);
    expect(reply.text).toContain('method="GET",route="/charges/{id}",status="404"');
    for (const name of [
      'nodejs_eventloop_lag_seconds',
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
    ])
      expect(value(reply.text, name)).toBeGreaterThanOrEqual(0);
    for (const state of ['total', 'idle', 'waiting'])
      expect(
        value(reply.text, `charge_once_database_pool_connections{state="${state}"}`),
      ).toBeGreaterThanOrEqual(0);
    expect(reply.text).not.toMatch(/metric-|ch_|acct_|req_/);
  });

  it('shows the age of the oldest unfinished record and the parked payments, also in the worker', async () => {
    expect(await metric(api.url, 'unfinished_records')).toBe(0);
    expect(await metric(api.url, 'oldest_unfinished_seconds')).toBe(0);
    await site.db.query(
      `INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
         state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at)
       VALUES ($1, 'old', 'POST /charges', 'ch_old', '', '{}', 'req_old', 'in_progress', 1, 1, false,
         now() - interval '100 seconds', now() + interval '1 hour')`,
      [site.accountId],
    );
    await site.db.query(
      `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
       VALUES ($1, 'pi_parked', 'ch_parked', 1, 'eur', 'succeeded_after_failed')`,
      [site.accountId],
    );
    const worker = await startProgram('worker.js', site.env);
    for (const { url } of [api, worker]) {
      expect(await metric(url, 'unfinished_records')).toBe(1);
      expect(await metric(url, 'oldest_unfinished_seconds')).toBeGreaterThanOrEqual(100);
      expect(await metric(url, 'parked_payments')).toBe(1);
    }
    await worker.stop();
    await site.db.query(`DELETE FROM idempotency_records WHERE key = 'old'`);
  });

  it('while the database answers too slowly for its figures, leaves these out alone', async () => {
    const locker = await site.db.connect();
    await locker.query('BEGIN; LOCK parked_payments IN ACCESS EXCLUSIVE MODE');
    try {
      const text = await read(api); // takes 2 s, the limit of a reading
      expect(value(text, 'charge_once_database_up')).toBe(1);
      expect(value(text, 'charge_once_unfinished_records')).toBeUndefined();
    } finally {
      await locker.query('ROLLBACK');
      locker.release();
    }
  });

  it('without a database, answers with the counters of the process and charge_once_database_up 0', async () => {
    const name = new URL(site.databaseUrl).pathname.slice(1);
    const admin = new URL(site.databaseUrl);
    admin.pathname = '/postgres';
    const client = new pg.Client({ connectionString: admin.href });
    await client.connect();
    await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name <> ''`,
      [name],
    );
    try {
      const text = await read(api);
      expect(value(text, 'charge_once_database_up')).toBe(0);
      expect(value(text, 'charge_once_unfinished_records')).toBeUndefined();
      expect(text).toContain('charge_once_key_outcomes_total{');
      expect(await send(`${api.url}/health/ready`)).toMatchObject({
        status: 503,
        body: { code: 'database_unavailable' },
      });
      expect((await send(`${api.url}/health/live`)).status).toBe(200);
    } finally {
      await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
      await client.end();
    }
    await until(async () => (await send(`${api.url}/health/ready`)).status === 200);
  });
});
