import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { insertEvent, takeDue } from '../../../src/sandbox/webhooks/events.ledger.js';
import { post, sdk } from '../../sandbox/sandbox.support.js';
import type { Receiver } from '../../sandbox/webhook-receiver.js';
import { openPool } from '../../support/database.js';
import { until } from '../../support/until.js';
import { NotifyingSandbox, pay } from './webhooks.support.js';

/** When the sandbox sends a notification, how often, and by which process. */
const notifying = new NotifyingSandbox();
beforeAll(() => notifying.open());
afterEach(() => notifying.reset());
afterAll(() => notifying.close());

/** The query of a sandbox for due notifications. */
const take = (pool = notifying.db, limit = 50) =>
  takeDue(pool, { delayMs: 0, shuffleMs: 0 }, [], limit);
/** Makes the next attempt due now. */
const hurry = () =>
  notifying.db.query('UPDATE sandbox.events SET next_attempt_at = clock_timestamp()');

describe('a notification that is not answered with 2xx', () => {
  it.each<[string, Parameters<Receiver['answer']>[0]]>([
    ['500', 500],
    ['404', 404],
    [
      'a redirect, which is not followed',
      (res, { path }) => {
        // A client that follows the redirect would get 200.
        if (path === '/hooks') res.writeHead(307, { location: '/elsewhere' });
        res.end();
      },
    ],
    ['a broken connection', (res) => res.destroy()],
  ])('is sent again: %s', async (_what, how) => {
    const sandbox = await notifying.start();
    notifying.receiver.answer(how);
    await pay(sandbox);
    await notifying.arrived(1);
    await hurry();
    await notifying.arrived(2);
    notifying.receiver.answer(204);
    await hurry();
    await notifying.delivered(notifying.receiver.received[0]!.id);
    const [first, ...again] = notifying.receiver.received;
    expect(again.length).toBeGreaterThanOrEqual(2);
    for (const each of again) expect(each.body).toBe(first!.body); // the same bytes, so the same id
    expect(new Set(notifying.receiver.received.map(({ path }) => path))).toEqual(
      new Set(['/hooks']),
    );
  });

  it('is repeated after pauses that double up to a minute, for three days', async () => {
    await pay(await notifying.start(null)); // only this test takes it
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
      const before = await notifying.db.query<{ now: string }>(
        'SELECT clock_timestamp()::text AS now',
      );
      expect(await take()).toHaveLength(1);
      // The pause started between the two readings of the clock.
      const { rows } = await notifying.db.query<{ since_before: number; from_now: number }>(
        `SELECT EXTRACT(EPOCH FROM next_attempt_at - $1::timestamptz)::float8 AS since_before,
                EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp())::float8 AS from_now
         FROM sandbox.events`,
        [before.rows[0]!.now],
      );
      expect(rows[0]!.since_before).toBeGreaterThanOrEqual(pause);
      expect(rows[0]!.from_now).toBeLessThanOrEqual(pause);
      await hurry();
    }

    await notifying.db.query(
      `UPDATE sandbox.events SET next_attempt_at = clock_timestamp() + '1 hour'`,
    );
    expect(await take()).toEqual([]); // not before its time

    const pass = (hours: number) =>
      notifying.db.query(
        `UPDATE sandbox.events SET give_up_at = give_up_at - $1 * interval '1 hour'`,
        [hours],
      );
    await hurry();
    await pass(71);
    expect(await take()).toHaveLength(1);
    await hurry();
    await pass(1);
    expect(await take()).toEqual([]);
  });

  it('does not delay others, even if it is never answered', async () => {
    const sandbox = await notifying.start();
    let silent: string | undefined;
    notifying.receiver.answer((response, { id }) => {
      silent ??= id;
      if (id !== silent) response.end();
    });
    for (let i = 0; i < 6; i++) await pay(sandbox);
    await until(async () => {
      const { rows } = await notifying.db.query(
        'SELECT id FROM sandbox.events WHERE delivered_at IS NULL',
      );
      return rows.length === 1 && rows[0].id === silent;
    });
  });
});

describe('a notification is sent, if the test asks for it,', () => {
  const idsSeen = () => notifying.receiver.received.map(({ id }) => id);

  it('twice, in parallel', async () => {
    await pay(await notifying.start({ copies: 2 }));
    await notifying.arrived(2);
    expect(new Set(idsSeen()).size).toBe(1);
  });

  it('once by default', async () => {
    const sandbox = await notifying.start();
    for (let i = 0; i < 10; i++) await pay(sandbox);
    await notifying.arrived(10);
    await until(async () => {
      const { rows } = await notifying.db.query(
        'SELECT id FROM sandbox.events WHERE delivered_at IS NULL',
      );
      return rows.length === 0;
    });
    expect(notifying.receiver.received).toHaveLength(10);
  });

  it('by one of two sandboxes on one ledger, never by both', async () => {
    const sandbox = await notifying.start(null);
    for (let i = 0; i < 10; i++) await pay(sandbox);
    const one = openPool(notifying.databaseUrl, 1); // so that all belongs to one transaction
    try {
      await one.query('BEGIN');
      // The worst plans read what is due once for each row.
      for (const way of ['hashagg', 'hashjoin', 'mergejoin', 'sort', 'material'])
        await one.query(`SET LOCAL enable_${way} = off`);
      const first = await take(one, 4);
      let ended = false;
      const other = take().finally(() => (ended = true));
      // It may wait for the first one as well: `one` commits only then.
      const waiting = `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`;
      await until(async () => ended || (await notifying.db.query(waiting)).rowCount === 1);
      await one.query('COMMIT');
      const second = await other;
      expect([first.length, second.length]).toEqual([4, 6]);
      expect(new Set([...first, ...second].map(({ id }) => id)).size).toBe(10);
    } finally {
      await one.end();
    }
  });

  it('after a delay', async () => {
    await pay(await notifying.start({ delayMs: 700 }));
    await notifying.arrived(1);
    const { rows } = await notifying.db.query<{ created_at: Date }>(
      'SELECT created_at FROM sandbox.events',
    );
    const { at } = notifying.receiver.received[0]!;
    expect(at - rows[0]!.created_at.getTime()).toBeGreaterThanOrEqual(699);
  });

  it('out of order', async () => {
    await notifying.start(null);
    const tx = await notifying.db.connect();
    for (let i = 0; i < 40; i++) await insertEvent(tx, 'payment_intent.succeeded', {});
    tx.release();
    const pass = (seconds: number) =>
      notifying.db.query(
        `UPDATE sandbox.events SET created_at = created_at - $1 * interval '1 second'`,
        [seconds],
      );
    await pass(500); // of a thousand, about half are due
    await notifying.join({ shuffleMs: 1_000_000 }); // not sooner: it takes everything due together
    await notifying.arrived(1);
    const { rows } = await notifying.db.query<{ id: string; waits: boolean }>(
      'SELECT id, next_attempt_at IS NULL AS waits FROM sandbox.events ORDER BY created_at',
    );
    const taken = rows.findLastIndex(({ waits }) => !waits);
    expect(rows.findIndex(({ waits }) => waits)).toBeLessThan(taken); // an older one still waits
    expect(rows.some(({ waits }) => waits)).toBe(true);
    await pass(501);
    await notifying.arrived(40);
    expect(idsSeen().toSorted()).toEqual(rows.map(({ id }) => id).toSorted());
  });

  it('again, by hand: with curl or the Stripe CLI', async () => {
    const sandbox = await notifying.start();
    await pay(sandbox);
    await pay(sandbox);
    await notifying.arrived(2);
    const [first] = notifying.receiver.received;
    await notifying.delivered(first!.id);
    const again = await post(sandbox, `/v1/events/${first!.id}/retry`, '');
    expect(again).toMatchObject({ status: 200, body: { id: first!.id, pending_webhooks: 1 } });
    await notifying.arrived(3);
    expect(notifying.receiver.received[2]).toMatchObject({ id: first!.id, body: first!.body });
    await notifying.delivered(first!.id);
    const event = await sdk(sandbox.port).events.retrieve(first!.id);
    expect(event.pending_webhooks).toBe(0);
    expect((await post(sandbox, '/v1/events/evt_unknown/retry', '')).status).toBe(404);
  });
});
