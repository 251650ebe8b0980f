import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, chargeUntilAnswered, lookUp } from '../support/raw-client.js';
import type { Beat } from '../support/database-proxy.js';
import { startProxiedService, type ProxiedService } from '../support/proxied-service.js';

/**
 * The connection to PostgreSQL breaks around a COMMIT. Whether it took effect is not known to whoever sent it: so the
 * record is read again, never the COMMIT repeated blindly.
 */
let service: ProxiedService['service'];
let proxy: ProxiedService['proxy'];
let api: ProxiedService['api'];
let stop: ProxiedService['stop'];
beforeAll(async () => {
  ({ service, proxy, api, stop } = await startProxiedService());
});
afterAll(async () => {
  try {
    await expectCleanBooks(service);
  } finally {
    await stop();
  }
});

const BEATS: Beat[] = ['reserve', 'settle'];
const executionsOf = async (key: string) => (await lookUp(service.apiUrl, key)).body.attempts;

describe.each(BEATS)('around the COMMIT of %s', (beat) => {
  test('its answer is lost: the record is read again, and the client gets its 201', async () => {
    const key = `answer ${beat}`;
    const lost = proxy.lose('answer', beat);
    const reply = await charge(api.url, key);
    await lost;
    expect(reply.status).toBe(201);
    expect(reply.headers).not.toHaveProperty('idempotent-replayed'); // it made the answer
    expect((await charge(service.apiUrl, key)).text).toBe(reply.text);
    expect(await executionsOf(key)).toBe(1);
    expect(service.gate.attempts(reply.body.id)).toBe(1);
    expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test('it never arrives: the beat is done again, and the client gets its 201', async () => {
    const key = `commit ${beat}`;
    const lost = proxy.lose('commit', beat);
    const reply = await charge(api.url, key);
    await lost;
    expect(reply.status).toBe(201);
    expect(await executionsOf(key)).toBe(1);
    // The second beat has to be repeated if its outcome was not written: a replay for the processor.
    expect(service.gate.attempts(reply.body.id)).toBe(beat === 'settle' ? 2 : 1);
    expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test.each(['answer', 'commit'] as const)(
    'and the database stays away (%s lost): 503 outcome_unknown, and the retry ends it',
    async (loss) => {
      const { apiUrl, sandboxUrl } = service;
      const key = `away ${beat} ${loss}`;
      const lost = proxy.lose(loss, beat).then(() => proxy.down());
      const reply = await charge(api.url, key);
      await lost;
      proxy.up();
      expect(reply).toMatchObject({
        status: 503,
        body: { code: 'outcome_unknown', retry: 'same_key' },
      });
      expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      const committed = loss === 'answer' || beat === 'settle';
      expect((await lookUp(apiUrl, key)).status).toBe(committed ? 200 : 404);
      // What was reserved is held by a lease of ten seconds; by the database's clock they are over.
      await service.db.query(
        `UPDATE idempotency_records SET lease_expires_at = now() WHERE key = $1 AND state = 'in_progress'`,
        [key],
      );
      const ended = await chargeUntilAnswered(apiUrl, key);
      expect(ended.status).toBe(201);
      expect(await paymentsOf(sandboxUrl, ended.body.id)).toHaveLength(1);
    },
  );
});

test('both answers of one charge are lost: still one payment and one 201', async () => {
  const lost = proxy.lose('answer', 'reserve').then(() => proxy.lose('answer', 'settle'));
  const reply = await charge(api.url, 'both');
  await lost;
  expect(reply.status).toBe(201);
  expect(service.gate.attempts(reply.body.id)).toBe(1);
});

test('the answer of a decline is lost: it is stored, and the card is tried once', async () => {
  const lost = proxy.lose('answer', 'settle');
  const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
  const reply = await charge(api.url, 'decline', declined);
  await lost;
  expect(reply).toMatchObject({ status: 402, body: { code: 'card_declined', retry: 'new_key' } });
  expect((await charge(api.url, 'decline', declined)).text).toBe(reply.text);
  expect(service.gate.attempts(reply.body.charge)).toBe(1);
});

test('twenty duplicates share one charge while the answer to its COMMIT is lost', async () => {
  const lost = proxy.lose('answer', 'settle');
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => chargeUntilAnswered(api.url, 'duplicates')),
  );
  await lost;
  expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
  expect(replies[0]!.status).toBe(201);
  expect(await executionsOf('duplicates')).toBe(1);
});

describe('before anything was sent', () => {
  test('a connection that breaks is not noticed by the client', async () => {
    const lost = proxy.lose('begin');
    expect((await charge(api.url, 'begin')).status).toBe(201);
    await lost;
  });

  test('a database that stays away is 503 database_unavailable: this request did nothing', async () => {
    const lost = proxy.lose('begin').then(() => proxy.down());
    const reply = await charge(api.url, 'nothing');
    await lost;
    // Also where the account is asked for, before the engine:
    const refused = await charge(api.url, 'nothing');
    proxy.up();
    for (const { status, body, headers } of [reply, refused]) {
      expect({ status, code: body.code, retry: body.retry }).toEqual({
        status: 503,
        code: 'database_unavailable',
        retry: 'same_key',
      });
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    expect((await lookUp(service.apiUrl, 'nothing')).status).toBe(404);
    expect((await charge(api.url, 'nothing')).status).toBe(201);
  });
});
