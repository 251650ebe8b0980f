import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, chargeUntilAnswered, lookUp } from '../support/raw-client.js';
import type { Beat } from '../support/database-proxy.js';
import { startProxiedService, type ProxiedService } from '../support/proxied-service.js';
import { until } from '../support/until.js';
import { chargeOf, WAYS, type Way } from '../support/ways.js';

/**
 * The connection to PostgreSQL breaks around a COMMIT, or around the single statement that commits itself. The API does
 * not know whether it took effect, so it reads the record again. It never repeats the commit blindly.
 */
let service: ProxiedService['service'];
let proxy: ProxiedService['proxy'];
let api: ProxiedService['api'];
let stop: ProxiedService['stop'];
beforeAll(async () => {
  ({ service, proxy, api, stop } = await startProxiedService());
});
afterAll(() => expectCleanBooks(service));
afterAll(() => stop());

const BEATS: Beat[] = ['reserve', 'settle'];
const CASES = WAYS.flatMap((way) => BEATS.map((beat) => ({ way, beat })));
const bodyOf = (way: Way, key: string) => chargeOf(way, service.apiUrl, key);
const executionsOf = async (key: string) => (await lookUp(service.apiUrl, key)).body.attempts;

describe.each(CASES)('around the commit of $beat, written by $way', ({ way, beat }) => {
  test('if its answer is lost, the record is read again, and the client gets its 201', async () => {
    const key = `answer ${beat} ${way}`;
    const body = await bodyOf(way, key);
    const lost = proxy.lose('answer', beat);
    const reply = await charge(api.url, key, body);
    await lost;
    expect(reply.status).toBe(201);
    expect(reply.headers).not.toHaveProperty('idempotent-replayed'); // this request made the answer
    expect((await charge(service.apiUrl, key, body)).text).toBe(reply.text);
    expect(await executionsOf(key)).toBe(1);
    expect(service.gate.attempts(reply.body.id)).toBe(1);
    expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test('if it never arrives, the beat runs again, and the client gets its 201', async () => {
    const key = `commit ${beat} ${way}`;
    const body = await bodyOf(way, key);
    const lost = proxy.lose('commit', beat);
    const reply = await charge(api.url, key, body);
    await lost;
    expect(reply.status).toBe(201);
    expect(await executionsOf(key)).toBe(1);
    // If its outcome was not written, the second beat runs again: a replay for the processor.
    expect(service.gate.attempts(reply.body.id)).toBe(beat === 'settle' ? 2 : 1);
    expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test.each(['answer', 'commit'] as const)(
    'if the database stays down (%s lost): 503 outcome_unknown, and the retry finishes the charge',
    async (loss) => {
      const { apiUrl, sandboxUrl } = service;
      const key = `away ${beat} ${loss} ${way}`;
      const body = await bodyOf(way, key);
      const lost = proxy.lose(loss, beat).then(() => proxy.down());
      const reply = await charge(api.url, key, body);
      await lost;
      proxy.up();
      expect(reply).toMatchObject({
        status: 503,
        body: { code: 'outcome_unknown', retry: 'same_key' },
      });
      expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      const committed = loss === 'answer' || beat === 'settle';
      expect((await lookUp(apiUrl, key)).status).toBe(committed ? 200 : 404);
      // A reserved record has a lease of ten seconds; this moves it into the past.
      await service.db.query(
        `UPDATE idempotency_records SET lease_expires_at = now() WHERE key = $1 AND state = 'in_progress'`,
        [key],
      );
      const ended = await chargeUntilAnswered(apiUrl, key, body);
      expect(ended.status).toBe(201);
      expect(await paymentsOf(sandboxUrl, ended.body.id)).toHaveLength(1);
    },
  );
});

describe.each(WAYS)('written by %s', (way) => {
  test('both answers of one charge are lost: still one payment and one 201', async () => {
    const key = `both ${way}`;
    const body = await bodyOf(way, key);
    const lost = proxy.lose('answer', 'reserve').then(() => proxy.lose('answer', 'settle'));
    const reply = await charge(api.url, key, body);
    await lost;
    expect(reply.status).toBe(201);
    expect(service.gate.attempts(reply.body.id)).toBe(1);
  });

  test('a decline whose commit’s answer is lost is stored, and the card is tried once', async () => {
    const key = `decline ${way}`;
    const body = { ...(await bodyOf(way, key)), payment_method: 'pm_card_visa_chargeDeclined' };
    const lost = proxy.lose('answer', 'settle');
    const reply = await charge(api.url, key, body);
    await lost;
    expect(reply).toMatchObject({ status: 402, body: { code: 'card_declined', retry: 'new_key' } });
    expect((await charge(api.url, key, body)).text).toBe(reply.text);
    expect(service.gate.attempts(reply.body.charge)).toBe(1);
  });

  test('twenty duplicates share one charge when the answer to its commit is lost', async () => {
    const key = `duplicates ${way}`;
    const body = await bodyOf(way, key);
    const lost = proxy.lose('answer', 'settle');
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => chargeUntilAnswered(api.url, key, body)),
    );
    await lost;
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies[0]!.status).toBe(201);
    expect(await executionsOf(key)).toBe(1);
  });
});

describe('before any statement was sent', () => {
  test('the client does not notice a broken connection', async () => {
    const order = await bodyOf('a transaction', 'begin');
    const lost = proxy.lose('begin');
    expect((await charge(api.url, 'begin', order)).status).toBe(201);
    await lost;
    await endConnections();
    expect((await charge(api.url, 'no connection')).status).toBe(201);
  });

  test.each(WAYS)(
    'a database that stays down is 503 database_unavailable: this request had no effect (%s)',
    async (way) => {
      const key = `nothing ${way}`;
      const body = await bodyOf(way, key);
      await charge(api.url, `${key}, but its account is known`);
      // A single statement has no BEGIN before it. It is certainly unsent only if there is no connection.
      let lost: Promise<void> | undefined;
      if (way === 'one statement') await endConnections('for good');
      else lost = proxy.lose('begin').then(() => proxy.down());
      const reply = await charge(api.url, key, body);
      await lost;
      // The same where the guard reads the account, before the engine:
      const refused = await charge(api.url, key, body);
      proxy.up();
      for (const { status, body, headers } of [reply, refused]) {
        expect({ status, code: body.code, retry: body.retry }).toEqual({
          status: 503,
          code: 'database_unavailable',
          retry: 'same_key',
        });
        expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      }
      expect((await lookUp(service.apiUrl, key)).status).toBe(404);
      expect((await charge(api.url, key, body)).status).toBe(201);
    },
  );

  /** Ends the API's connections and waits until it has noticed. */
  async function endConnections(how?: 'for good'): Promise<void> {
    proxy.down();
    const { master } = api.dataSource.driver as unknown as { master: pg.Pool };
    await until(async () => master.totalCount === 0);
    if (!how) proxy.up();
  }
});
