import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { audit, INVARIANTS } from '../../../src/audit/audit.js';
import type { Database, Tx } from '../../../src/database/database.js';
import type { Ids } from '../../audit/clean-books.js';
import {
  DELIVERY_FAULTS,
  EFFECT_FAULTS,
  OWED_AT_LAST,
  parked,
  queued,
  UNFINISHED,
} from '../../audit/faults-of-effects.js';
import { NOTIFICATION_FAULTS } from '../../audit/faults-of-notifications.js';
import { EVENT_FAULTS, ORDER_FAULTS, REFUND_FAULTS } from '../../audit/faults-of-orders.js';
import { CHARGE_FAULTS } from '../../audit/faults.js';
import { auditAfter, bareName, CONSTRAINT, openBooks, runEach } from './audit.support.js';

/** At least one for each invariant, except the one of constraints.spec.ts. */
const FAULTS = [
  ...CHARGE_FAULTS,
  ...REFUND_FAULTS,
  ...ORDER_FAULTS,
  ...EVENT_FAULTS,
  ...EFFECT_FAULTS,
  ...DELIVERY_FAULTS,
  ...NOTIFICATION_FAULTS,
];

const SQL_FILES = readdirSync('src/audit').filter((name) => name.endsWith('.sql'));
/** This query needs the processor's ledger as parameters. Tested in processor-comparison.spec.ts. */
const NEEDS_PARAMETERS = 'processor.sql';

/** Most faults change a state, not its events or notifications. So the audit may report these, too; ignored here. */
const ECHOES = [
  'outcome_without_its_event',
  'event_without_its_outcome',
  'notification_applied_but_not_shown',
];

let books: Awaited<ReturnType<typeof openBooks>>;
let db: Database;
let ids: Ids;
beforeAll(async () => {
  books = await openBooks();
  ({ db, ids } = books);
});
afterAll(() => books.close());

const lookAfter = (change: (tx: Tx) => Promise<unknown>, ttlSeconds?: number) =>
  auditAfter(db, change, ttlSeconds);

describe('the audit', () => {
  test('finds nothing in an empty database', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        'TRUNCATE accounts, idempotency_records, parked_payments, processor_events, naive_charges CASCADE',
      ),
    );
    expect(found).toEqual([]);
  });

  test('finds nothing in rows without a fault', async () => {
    expect(await audit(db)).toEqual([]);
  });

  test.each(FAULTS.map((fault, number) => ({ ...fault, number })))(
    'finds $invariant (fault $number)',
    async (fault) => {
      const all = await lookAfter((tx) => books.plant(tx, fault));
      const found = all.filter(({ invariant }) => invariant !== CONSTRAINT);
      expect(all.filter((finding) => !found.includes(finding)).map(({ id }) => id)).toEqual(
        (fault.drop ?? []).map(bareName).sort(),
      );
      const expected = new Set([fault.invariant, ...(fault.also ?? [])]);
      const names = new Set(found.map(({ invariant }) => invariant));
      for (const echo of ECHOES) if (!expected.has(echo)) names.delete(echo);
      expect(names).toEqual(expected);
      expect(new Set(found.map(({ account_id }) => account_id))).toEqual(new Set([ids.account]));
      for (const { id, detail } of found) {
        if (!/^shirt$|^evt_|_planted$|_absent$/.test(id)) expect(Object.values(ids)).toContain(id);
        expect(detail).toMatch(/\S/); // a NULL in a concatenation would swallow the whole detail
      }
    },
  );

  test.each(
    UNFINISHED.flatMap(({ jobs, ...fault }) => jobs.map(([member, id]) => ({ fault, member, id }))),
  )(
    'ignores $fault.invariant while a job about its $member is to run, and names a parked one',
    async ({ fault, member, id }) => {
      const about = async (jobs: string) =>
        (await lookAfter((tx) => books.plant(tx, { ...fault, sql: fault.sql + jobs }))).filter(
          ({ invariant }) => invariant === fault.invariant,
        );
      expect(await about(queued(member, id))).toEqual([]);
      const lastRun = `${parked(member, id)}, locked_at = now()`;
      expect(await about(lastRun)).toEqual([]);
      for (const another of [queued(member, `${id}?`), queued(member, id, 'acct_another')])
        expect(await about(another)).toEqual([
          expect.objectContaining({ detail: expect.stringContaining('no job for it') }),
        ]);
      const [found] = await about(parked(member, id));
      expect(found?.detail).toMatch(/job \d+ is parked/);
    },
  );

  const ALL = `UPDATE webhook_endpoints SET events = '["*"]'`;
  test.each([
    [
      'a delivery of an event that is hardly younger than the endpoint',
      `${ALL}, created_at = now() - interval '59 s'`,
    ],
    ['a delivery to a deleted endpoint', `${ALL}, deleted_at = now()`],
    ['a delivery to a disabled endpoint', `${ALL}, disabled_at = now()`],
    [
      'an endpoint that was created again, for the events that it received before',
      `UPDATE webhook_endpoints SET events = '["order.canceled"]', created_at = now() - interval '59 s'`,
    ],
    [
      'a resent event to have one delivery',
      `INSERT INTO event_resends (account_id, id, event_id) SELECT DISTINCT account_id, 'rs_1', event_id FROM webhook_deliveries;
       INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, next_attempt_at)
       SELECT account_id, id || ' again', endpoint_id, event_id, 'failed', NULL FROM webhook_deliveries`,
    ],
    [
      'a resend to reach an endpoint that was created later or is deleted',
      `INSERT INTO event_resends (account_id, id, event_id) SELECT DISTINCT account_id, 'rs_1', event_id FROM webhook_deliveries;
       UPDATE webhook_endpoints SET deleted_at = now() WHERE id LIKE 'we_first%';
       UPDATE webhook_endpoints SET created_at = now() - interval '59 s' WHERE id LIKE 'we_second%'`,
    ],
    [
      'a 2xx answer to an abandoned delivery',
      `UPDATE webhook_deliveries SET status = 'failed'; UPDATE webhook_attempts SET response_status = 500`,
    ],
    [
      'a receipt of a charge that failed',
      `UPDATE events SET data = '{"object":{"receipt_email":"eve@shop.test"}}' WHERE type = 'charge.failed'`,
    ],
    [
      'a receipt where there is no address',
      `DELETE FROM sent_emails; UPDATE orders SET email = NULL`,
    ],
  ])('does not expect %s', async (_what, sql) => {
    expect(await lookAfter((tx) => runEach(tx, sql))).toEqual([]);
  });

  test('accepts that a refund we owe was refused, once the next one succeeded', async () => {
    const found = await lookAfter((tx) => books.plant(tx, { sql: OWED_AT_LAST }));
    expect(found.filter(({ invariant }) => !ECHOES.includes(invariant))).toEqual([]);
  });

  test('has a planted fault for each invariant', () => {
    const planted = new Set([CONSTRAINT, ...FAULTS.map(({ invariant }) => invariant)]);
    expect(INVARIANTS.filter((name) => !planted.has(name))).toEqual([]);
    expect([...planted].filter((name) => !INVARIANTS.includes(name))).toEqual([]);
  });

  test('gives each invariant its own name', () => {
    expect(new Set(INVARIANTS).size).toBe(INVARIANTS.length);
  });

  test.each(SQL_FILES.filter((name) => name !== NEEDS_PARAMETERS))(
    'runs src/audit/%s alone, as psql does',
    async (name) => {
      expect(await db.query(readFileSync(`src/audit/${name}`, 'utf8'))).toEqual([]);
    },
  );

  test('accepts a charge without a record after its key expired', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `WITH reaped AS (DELETE FROM idempotency_records WHERE resource_id = '${ids.id}')
         UPDATE charges SET settled_at = now() - interval '7 days 1 second' WHERE id = '${ids.id}'`,
      ),
    );
    expect(found).toEqual([]);
  });

  test('accepts an expired record that is not reaped yet', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `UPDATE idempotency_records SET completed_at = now() - interval '8 days',
           expires_at = now() - interval '1 day' WHERE resource_id = '${ids.id}'`,
      ),
    );
    expect(found).toEqual([]);
  });

  test('uses the time to live that it is given', async () => {
    const found = await lookAfter(
      (tx) =>
        tx.query(
          `WITH reaped AS (DELETE FROM idempotency_records WHERE resource_id = '${ids.id}')
           UPDATE charges SET settled_at = now() - interval '11 seconds' WHERE id = '${ids.id}'`,
        ),
      10,
    );
    expect(found).toEqual([]);
  });

  test('gives the worker a minute before a notification is overdue, and thirty days before it is old', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `WITH late AS (UPDATE processor_events SET state = 'waiting', received_at = now() - interval '59 seconds'
           WHERE charge_id = '${ids.id}')
         UPDATE processor_events SET state = 'waiting', charge_id = 'ch_absent',
           received_at = now() - interval '30 days 1 minute' WHERE charge_id = '${ids.failed}'`,
      ),
    );
    expect(found).toEqual([]);
  });

  test('gives the sweep a minute before a record is overdue', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `UPDATE idempotency_records SET first_seen_at = now() - interval '1 hour',
           lease_expires_at = now() - interval '59 seconds' WHERE resource_id = '${ids.pending}'`,
      ),
    );
    expect(found).toEqual([]);
  });
});
