import { readdirSync, readFileSync } from 'node:fs';
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
import { REFUSED_FAULTS } from '../../audit/refused-faults.js';

/** At least one for each invariant of src/audit/ but `CONSTRAINT`. */
const FAULTS = [
  ...CHARGE_FAULTS,
  ...REFUND_FAULTS,
  ...ORDER_FAULTS,
  ...EVENT_FAULTS,
  ...EFFECT_FAULTS,
  ...DELIVERY_FAULTS,
  ...NOTIFICATION_FAULTS,
];

const CONSTRAINT = 'constraint_missing_or_not_valid';
const SQL_FILES = readdirSync('src/audit').filter((name) => name.endsWith('.sql'));
/** It reads the ledger from parameters: see processor-comparison.spec.ts. */
const NEEDS_PARAMETERS = 'processor.sql';

/** Most faults change a state. The events and notifications stay, so they contradict it. */
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

async function plantFault(tx: Tx, { drop = [], sql }: Omit<Fault, 'invariant'>): Promise<void> {
  for (const name of drop) await dropConstraint(tx, name);
  await run(
    tx,
    sql.replaceAll(/\$(\w+)/g, (_, name: keyof Ids) => ids[name]),
  );
}

async function dropConstraint(tx: Tx, name: string): Promise<void> {
  const [table, constraint] = name.split('.');
  await tx.query(
    constraint ? `ALTER TABLE ${table} DROP CONSTRAINT ${constraint}` : `DROP ${name}`,
  );
}

/** @param name as `table.constraint` or `INDEX name`. */
const bareName = (name: string) => name.split(/[. ]/)[1]!;

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
      const all = await lookAfter((tx) => plantFault(tx, fault));
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
    const found = await lookAfter((tx) => plantFault(tx, { sql: OWED_AT_LAST }));
    expect(found.filter(({ invariant }) => !ECHOES.includes(invariant))).toEqual([]);
  });

  describe.each(REFUSED_FAULTS.map((fault, nr) => ({ ...fault, nr })))(
    'leaves it to a constraint to refuse $what,',
    ({ sql, refusedBy }) => {
      test('which it does', async () => {
        const planted = db.transaction((tx) => plantFault(tx, { sql }));
        await expect(planted).rejects.toMatchObject({ constraint: bareName(refusedBy) });
      });

      test('and finds the loss of that constraint', async () => {
        const found = await lookAfter((tx) => dropConstraint(tx, refusedBy));
        expect(found).toEqual([
          {
            invariant: CONSTRAINT,
            account_id: '-',
            id: bareName(refusedBy),
            detail: expect.stringMatching(/^(constraint|unique index) is missing$/),
          },
        ]);
      });
    },
  );

  test('finds a constraint and an index that are not valid', async () => {
    const found = await lookAfter(async (tx) => {
      await tx.query('ALTER TABLE charges DROP CONSTRAINT charges_status_is_known');
      await tx.query(
        `ALTER TABLE charges ADD CONSTRAINT charges_status_is_known CHECK (status <> 'paid') NOT VALID`,
      );
      await tx.query(
        `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'charges_one_live_per_order'::regclass`,
      );
    });
    expect(found.map(({ id, detail }) => `${id}: ${detail}`)).toEqual([
      'charges_one_live_per_order: unique index is not valid',
      'charges_status_is_known: constraint is not valid',
    ]);
  });

  test('lists every valid constraint and unique index of the accounts’ tables', async () => {
    const listed = readFileSync('src/audit/constraints.sql', 'utf8').matchAll(/'(\w+_\w+)'/g);
    const present = await db.query<{ name: string }>(
      `SELECT conname AS name FROM pg_constraint JOIN pg_class AS class ON class.oid = conrelid
       WHERE contype IN ('c', 'f', 'p', 'u') AND convalidated AND relnamespace = 'public'::regnamespace
         AND relname !~ '^(naive_charges|reconciliation_|migrations)'
       UNION SELECT relname FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
       WHERE indisunique AND relnamespace = 'public'::regnamespace
         AND relname !~ '^(naive_charges|reconciliation_|PK_|migrations)'`,
    );
    const names = new Set([...listed].map(([, name]) => name!));
    expect(present.map(({ name }) => name).filter((name) => !names.has(name))).toEqual([]);
  });

  test('has a planted fault for each invariant', () => {
    const planted = new Set([CONSTRAINT, ...FAULTS.map(({ invariant }) => invariant)]);
    expect(INVARIANTS.filter((name) => !planted.has(name))).toEqual([]);
    expect([...planted].filter((name) => !INVARIANTS.includes(name))).toEqual([]);
  });

  test('names no two invariants alike', () => {
    expect(new Set(INVARIANTS).size).toBe(INVARIANTS.length);
  });

  test.each(SQL_FILES.filter((name) => name !== NEEDS_PARAMETERS))(
    'runs src/audit/%s alone, as psql does',
    async (name) => {
      expect(await db.query(readFileSync(`src/audit/${name}`, 'utf8'))).toEqual([]);
    },
  );

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
