import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { audit, INVARIANTS } from '../../../src/audit/audit.js';
import type { Finding } from '../../../src/audit/invariant.js';
import type { Database, Tx } from '../../../src/database/database.js';
import { openFreshDatabase, type OpenDatabase } from '../../support/open-database.js';
import { writeCleanBooks, type Ids } from '../../audit/clean-books.js';
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
import { CHARGE_FAULTS, type Fault } from '../../audit/faults.js';

/** At least one for each invariant of src/audit/. */
const FAULTS = [
  ...CHARGE_FAULTS,
  ...REFUND_FAULTS,
  ...ORDER_FAULTS,
  ...EVENT_FAULTS,
  ...EFFECT_FAULTS,
  ...DELIVERY_FAULTS,
  ...NOTIFICATION_FAULTS,
];

/** Most faults change a state, and then the events and notifications, which are left alone, tell another story. */
const ECHOES = [
  'outcome_without_its_event',
  'event_without_its_outcome',
  'notification_applied_to_nothing',
  'notification_applied_but_its_object_pending',
  'notification_of_a_success_that_nothing_shows',
];

let database: OpenDatabase;
let db: Database;
let ids: Ids;

beforeAll(async () => {
  database = await openFreshDatabase();
  ({ db } = database);
  ids = await writeCleanBooks(db, 'acme');
  await writeCleanBooks(db, 'globex');
});
afterAll(() => database.close());

/** Plants something in a transaction (constraints can be dropped in one, too), looks, and undoes it. */
async function lookAfter(plant: (tx: Tx) => Promise<unknown>, ttlSeconds?: number) {
  const undo = new Error('rolls the transaction back');
  let found: Finding[] = [];
  const planted = db.transaction(async (tx) => {
    await plant(tx);
    found = await audit(tx, ttlSeconds);
    throw undo;
  });
  await expect(planted).rejects.toBe(undo);
  return found;
}

async function plantFault(tx: Tx, { drop = [], sql }: Fault): Promise<void> {
  for (const name of drop) {
    const [table, constraint] = name.split('.');
    await tx.query(
      constraint ? `ALTER TABLE ${table} DROP CONSTRAINT ${constraint}` : `DROP ${name}`,
    );
  }
  await run(
    tx,
    sql.replaceAll(/\$(\w+)/g, (_, name: keyof Ids) => ids[name]),
  );
}

/** A `Tx` takes one statement; no literal here has a semicolon. */
async function run(tx: Tx, statements: string): Promise<void> {
  for (const sql of statements.split(';')) if (sql.trim() !== '') await tx.query(sql);
}

describe('the auditor', () => {
  test('finds nothing in an empty database', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        'TRUNCATE accounts, idempotency_records, parked_payments, processor_events, naive_charges CASCADE',
      ),
    );
    expect(found).toEqual([]);
  });

  test('finds nothing in books that are in order', async () => {
    expect(await audit(db)).toEqual([]);
  });

  test.each(FAULTS.map((fault, nr) => ({ ...fault, nr })))(
    'finds $invariant (fault $nr)',
    async (fault) => {
      const found = await lookAfter((tx) => plantFault(tx, fault));
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
    'says nothing of $fault.invariant while a job about its $member is to run, and names one that is parked',
    async ({ fault, member, id }) => {
      const about = async (jobs: string) =>
        (await lookAfter((tx) => plantFault(tx, { ...fault, sql: fault.sql + jobs }))).filter(
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
      'an endpoint to be told what is hardly younger',
      `${ALL}, created_at = now() - interval '59 s'`,
    ],
    ['a deleted endpoint to be told', `${ALL}, deleted_at = now()`],
    ['a disabled endpoint to be told', `${ALL}, disabled_at = now()`],
    [
      'an endpoint that was made anew to have wanted what it was told before',
      `UPDATE webhook_endpoints SET events = '["order.canceled"]', created_at = now() - interval '59 s'`,
    ],
    [
      'a resent event to be delivered once',
      `INSERT INTO event_resends (account_id, id, event_id) SELECT DISTINCT account_id, 'rs_1', event_id FROM webhook_deliveries;
       INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, next_attempt_at)
       SELECT account_id, id || ' again', endpoint_id, event_id, 'failed', NULL FROM webhook_deliveries`,
    ],
    [
      'what was resent before the endpoint was there, or after it was gone, to reach it',
      `INSERT INTO event_resends (account_id, id, event_id) SELECT DISTINCT account_id, 'rs_1', event_id FROM webhook_deliveries;
       UPDATE webhook_endpoints SET deleted_at = now() WHERE id LIKE 'we_first%';
       UPDATE webhook_endpoints SET created_at = now() - interval '59 s' WHERE id LIKE 'we_second%'`,
    ],
    [
      'a delivery that was given up to have reached nobody',
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
    expect(await lookAfter((tx) => run(tx, sql))).toEqual([]);
  });

  test('does not mind that a refund we owe was refused, once the next one has gone back', async () => {
    const found = await lookAfter((tx) => plantFault(tx, { invariant: 'none', sql: OWED_AT_LAST }));
    expect(found.filter(({ invariant }) => !ECHOES.includes(invariant))).toEqual([]);
  });

  test('has a planted fault for each invariant', () => {
    const planted = new Set(FAULTS.map(({ invariant }) => invariant));
    expect(INVARIANTS.map(({ name }) => name).filter((name) => !planted.has(name))).toEqual([]);
  });

  test('names no two invariants alike', () => {
    const names = INVARIANTS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  test('does not miss the record of a charge whose key has expired', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `WITH reaped AS (DELETE FROM idempotency_records WHERE resource_id = '${ids.id}')
         UPDATE charges SET settled_at = now() - interval '7 days 1 second' WHERE id = '${ids.id}'`,
      ),
    );
    expect(found).toEqual([]);
  });

  test('does not mind an expired record that nobody has reaped', async () => {
    const found = await lookAfter((tx) =>
      tx.query(
        `UPDATE idempotency_records SET completed_at = now() - interval '8 days',
           expires_at = now() - interval '1 day' WHERE resource_id = '${ids.id}'`,
      ),
    );
    expect(found).toEqual([]);
  });

  test('goes by the time to live that it is told', async () => {
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
