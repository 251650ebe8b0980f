import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/until.js';
import { databaseUrl, payment, post, sql, start, useFreshLedger } from './sandbox.support.js';

let dropLedger: () => Promise<void>;
beforeAll(async () => {
  dropLedger = await useFreshLedger();
});
afterAll(() => dropLedger());

describe('the ledger', () => {
  it('is created once by five concurrent starts on an empty database', async () => {
    const name = `sandbox_${randomUUID().replaceAll('-', '')}`;
    await sql(`CREATE DATABASE ${name}`);
    const url = new URL(databaseUrl);
    url.pathname = `/${name}`;
    const started = await Promise.allSettled(
      Array.from({ length: 5 }, () => start({ databaseUrl: url.href })),
    );
    for (const result of started) if (result.status === 'fulfilled') await result.value.close();
    await sql(`DROP DATABASE ${name} WITH (FORCE)`);
    expect(started.map(({ status }) => status)).toEqual(Array(5).fill('fulfilled'));
  });

  it('is a readable table at /ledger, and no client’s text controls the terminal', async () => {
    const sandbox = await start();
    try {
      const { body } = await post(sandbox, '/v1/payment_intents', {
        ...payment('pm_card_visa'),
        'metadata[charge]': 'ch_1\n\u001b[31m',
      });
      const { id } = body as { id?: string };
      const response = await fetch(`${sandbox.url}/ledger`);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
      const text = await response.text();
      const cells = (line = '') => line.split(/ {2,}/);
      const line = text.split('\n').find((each) => each.includes(id!));
      const names = 'created payment status amount currency refunded charge';
      expect(cells(text.split('\n')[0])).toEqual(names.split(' '));
      expect(cells(line).slice(1)).toEqual([id, 'succeeded', '1200', 'eur', '0', 'ch_1??[31m']);
      const { rows } = await sql(
        `SELECT count(*) || ' payments, ' || sum(amount_received) || ' taken' AS sum
         FROM sandbox.payment_intents WHERE status = 'succeeded'`,
      );
      expect(text.trimEnd().split('\n').at(-1)).toContain(`${rows[0].sum}, `);
    } finally {
      await sandbox.close();
    }
  });

  it('is available again after PostgreSQL has closed every connection', async () => {
    const sandbox = await start();
    try {
      const ready = async (): Promise<number> =>
        (await fetch(`${sandbox.url}/health/ready`)).status;
      expect(await ready()).toBe(200);
      await sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'charge-once sandbox' AND datname = current_database()`,
      );
      await until(async () => (await ready()) === 200);
      const reply = await post(sandbox, '/v1/payment_intents', payment('pm_card_visa'));
      expect(reply.status).toBe(200);
    } finally {
      await sandbox.close();
    }
  });
});
