import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { runJobsCommand } from '../../../src/programs/jobs.command.js';
import { databaseOptions, TypeOrmDatabase } from '../../../src/database/database.js';
import { runToEnd } from '../../operation/operation.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { metric } from '../../support/metrics.js';
import { charge, lookUp } from '../../support/raw-client.js';
import type { Running } from '../../support/service.js';
import { until } from '../../support/until.js';
import { postEndpoint } from '../../webhooks/webhooks.support.js';
import {
  addJob,
  drained,
  IS_UNDER_WAY,
  jobs,
  skipPauses,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';

/** A job that keeps failing becomes a dead letter: it is listed, counted, and retried by an operator's command. */
let shop: Shop;
let worker: Running;
let db: DataSource;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorker();
  db = await new DataSource(databaseOptions(shop.databaseUrl, 1)).initialize();
});
afterAll(() => expectCleanBooks(shop));
afterAll(async () => {
  await db.destroy();
  await shop.stop();
});

/** `npm run jobs -- …`. As a process it takes most of a second, so most tests run its code instead. */
const program = (...args: string[]) => runToEnd('jobs.js', shop.env, args);
const command = async (...args: string[]) =>
  (await runJobsCommand(new TypeOrmDatabase(db), args)).map((line) => `${line}\n`).join('');

/** A receipt that the mail server has refused in its last attempt. @returns the job's id. */
async function park(to: string): Promise<string> {
  shop.mail.refuse(to);
  await charge(shop.apiUrl, to, { receipt_email: to });
  let id = '';
  await until(async () => {
    const { rows } = await shop.db.query<{ id: string }>(
      `UPDATE graphile_worker._private_jobs SET attempts = 24, run_at = now()
       WHERE attempts < 24 AND last_error IS NOT NULL AND locked_at IS NULL
         AND task_id = (SELECT id FROM graphile_worker._private_tasks WHERE identifier = 'send-receipt')
       RETURNING id::text`,
    );
    id = rows[0]?.id ?? '';
    return rows.length === 1;
  });
  await until(async () => {
    const job = (await jobs(shop.db)).find((each) => each.id === id);
    return job?.attempts === 25 && !job.locked;
  });
  return id;
}

describe('a job that has failed for the last time', () => {
  test('is parked, listed, counted and retried by command', async () => {
    expect(await command('list')).toBe('0 parked\n');
    expect(await metric(worker.url, 'parked_jobs')).toBe(0);
    const id = await park('ann@shop.test');
    // A second one that fails and will be retried.
    const other = await addJob(shop.db, 'fan-out-event', { account: 'acct_1', event: 'evt_1' });
    await until(async () =>
      (await jobs(shop.db)).some(
        (job) => job.id === other && job.last_error !== null && !job.locked,
      ),
    );

    const { exit, output } = await program('list');
    expect(exit).toBe(0);
    const [line, sum] = output.split('\n');
    expect(line).toMatch(
      new RegExp(
        `^${id}  send-receipt  \\{"account":"acct_\\w+","event":"evt_\\w+"\\}  25 attempts since .*550`,
      ),
    );
    expect(sum).toBe('1 parked');
    expect(await metric(worker.url, 'parked_jobs')).toBe(1);
    await shop.db.query('DELETE FROM graphile_worker._private_jobs WHERE id = $1', [other]);

    // It waits for an operator, even though the mail server would accept it now.
    shop.mail.refuse(undefined);
    await charge(shop.apiUrl, 'another', { receipt_email: 'bob@shop.test' });
    await shop.mail.caught('bob@shop.test');
    expect(shop.mail.of('ann@shop.test')).toEqual([]);

    expect(await program('retry', id)).toEqual({
      exit: 0,
      output: `Retrying ${id}\n1 to be tried again\n`,
    });
    await shop.mail.caught('ann@shop.test');
    await drained(shop.db);
    expect(shop.mail.of('ann@shop.test')).toHaveLength(1);
    expect(await metric(worker.url, 'parked_jobs')).toBe(0);
  });

  test('is retried with all the others', async () => {
    const ids = [await park('eve@shop.test'), await park('joe@shop.test')];
    shop.mail.refuse(undefined);
    expect(await command('retry', 'all')).toBe(
      `${ids.map((id) => `Retrying ${id}\n`).join('')}2 to be tried again\n`,
    );
    await drained(shop.db);
    expect(shop.mail.of('eve@shop.test')).toHaveLength(1);
    expect(shop.mail.of('joe@shop.test')).toHaveLength(1);
    expect(await command('retry', 'all')).toBe('0 to be tried again\n');
  });
});

describe('a charge that recovery cannot settle because of an error of ours', () => {
  /** Settling it breaks until `repair`; the sweep has one attempt left. */
  async function breakSettling(key: string) {
    await shop.db.query(
      `ALTER TABLE charges ADD CONSTRAINT broken CHECK (description <> 'broken' OR status <> 'succeeded') NOT VALID`,
    );
    const failed = await charge(shop.apiUrl, key, { description: 'broken' });
    expect(failed).toMatchObject({ status: 500, body: { retry: 'same_key' } });
    const { rows } = await shop.db.query<{ id: string }>(
      'UPDATE idempotency_records SET failures = 19 WHERE key = $1 RETURNING resource_id AS id',
      [key],
    );
    const { id } = rows[0]!;
    await until(async () => (await lookUp(shop.apiUrl, key)).body.needs_attention === true);
    return { id, repair: () => shop.db.query('ALTER TABLE charges DROP CONSTRAINT broken') };
  }

  test('needs attention: listed, counted, in the audit, and retried by command', async () => {
    expect(await metric(worker.url, 'records_needing_attention')).toBe(0);
    const { id, repair } = await breakSettling('unsettled');
    expect((await lookUp(shop.apiUrl, 'unsettled')).body).toMatchObject({
      state: 'in_progress',
      resource: { id },
    });
    expect(await metric(shop.apiUrl, 'records_needing_attention')).toBe(1);
    expect(await command('list')).toMatch(
      new RegExp(
        `^${id}  POST /charges  acct_\\w+  \\d+ attempts since .*Z  the log .*\n1 parked\n$`,
      ),
    );
    const audit = await runToEnd('audit.js', shop.env, []);
    expect(audit).toMatchObject({ exit: 1, output: expect.stringContaining(id) });
    expect(audit.output).toContain('record_needs_attention');

    await repair();
    expect(await command('retry', id)).toBe(`Retrying ${id}\n1 to be tried again\n`);
    await until(async () => (await lookUp(shop.apiUrl, 'unsettled')).body.state === 'completed');
    expect(await command('list')).toBe('0 parked\n');
    await expect(command('retry', id)).rejects.toThrow(/^Nothing with the id/);
  });

  test('is settled by a retry of its client when the error is fixed', async () => {
    const { id, repair } = await breakSettling('retried');
    const retry = () => charge(shop.apiUrl, 'retried', { description: 'broken' });
    expect((await retry()).status).toBe(500);
    expect((await lookUp(shop.apiUrl, 'retried')).body.needs_attention).toBe(true);
    await repair();
    expect(await retry()).toMatchObject({ status: 201, body: { id } });
    expect((await lookUp(shop.apiUrl, 'retried')).body).toMatchObject({
      state: 'completed',
      needs_attention: false,
    });
  });
});

test('a job that the queue will retry is not touched', async () => {
  shop.mail.refuse('kim@shop.test');
  await charge(shop.apiUrl, 'kim', { receipt_email: 'kim@shop.test' });
  await until(async () => (await jobs(shop.db)).some(({ last_error }) => last_error !== null));
  const [job] = await jobs(shop.db);
  expect(await program('retry', job!.id)).toEqual({
    exit: 1,
    output: `Nothing with the id ${job!.id} is parked; \`list\` shows what is.\n`,
  });
  shop.mail.refuse(undefined);
  await skipPauses(shop.db);
  await drained(shop.db);
});

describe('the metric of the oldest due work counts', () => {
  const age = () => metric(shop.apiUrl, 'oldest_due_job_seconds');
  beforeEach(() => worker.stop());
  afterEach(async () => {
    expect(await age()).toBeGreaterThanOrEqual(3600);
    worker = await shop.startWorker();
    await drained(shop.db);
    expect(await age()).toBe(0);
  });

  test('a job', async () => {
    const { rows } = await shop.db.query<{ account: string; event: string }>(
      `SELECT account_id AS account, id AS event FROM events WHERE type = 'charge.succeeded' LIMIT 1`,
    );
    await addJob(shop.db, 'send-receipt', rows[0]!);
    await shop.db.query(
      `UPDATE graphile_worker._private_jobs SET run_at = run_at - interval '1 hour'`,
    );
  });

  test('an event that is not relayed', async () => {
    await charge(shop.apiUrl, 'waits', { receipt_email: 'sue@shop.test' });
    await shop.db.query(
      `UPDATE events SET created_at = created_at - interval '1 hour' WHERE relayed_at IS NULL`,
    );
  });

  test('a delivery, but not before its time', async () => {
    const url = 'http://127.0.0.1:1/'; // no process listens there
    const { body } = await postEndpoint(shop.apiUrl, { url, events: ['charge.succeeded'] });
    await charge(shop.apiUrl, 'delivered late');
    const other = await shop.startWorker();
    const waits = `UPDATE webhook_deliveries AS delivery SET next_attempt_at = now() + interval '1 hour'
      WHERE status = 'pending' AND attempts > 0 AND NOT (${IS_UNDER_WAY})`;
    await until(async () => (await shop.db.query(waits)).rowCount === 1);
    await drained(shop.db);
    await other.stop();
    expect(await age()).toBe(0);
    await shop.db.query(
      `UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 hour'`,
    );
    await shop.db.query('UPDATE webhook_endpoints SET disabled_at = now() WHERE id = $1', [
      body.id,
    ]);
  });
});
