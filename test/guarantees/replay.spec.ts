import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { TypeOrmDatabase, addApiKey } from '../support/internals.js';
import { expectCleanBooks, ledger, paymentsOf } from '../support/books.js';
import { charge, getCharge, lookUp, send, type Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

/** The headers that belong to the stored answer. */
const STORED = ['content-type', 'content-length', 'location', 'idempotency-expires'] as const;

function expectReplay(again: Reply, first: Reply): void {
  expect({ status: again.status, text: again.text }).toEqual({
    status: first.status,
    text: first.text,
  });
  for (const name of STORED)
    expect([name, again.headers[name]]).toEqual([name, first.headers[name]]);
  expect(again.headers['idempotent-replayed']).toBe('true');
  expect(again.headers['original-request-id']).toBe(first.headers['request-id']);
  expect(again.headers['request-id']).not.toBe(first.headers['request-id']);
}

describe('a replay is the same bytes', () => {
  const metadata = {
    // Members that JavaScript reorders, and text that an encoder could escape differently.
    zebra: 'last',
    '10': 'ten',
    '2': 'two',
    name: 'Zoë 💶 \u2028 "quoted" \\ / \u007f',
    ключ: 'значение',
  };

  test('by another instance, after the first one was killed', async () => {
    const killed = await service.startApiProcess();
    const first = await charge(killed.url, 'restart', { metadata, description: 'Tee & Kaffee ☕' });
    await killed.kill();
    expect(first.status).toBe(201);
    expect(first.headers.location).toBe(`/charges/${first.body.id}`);
    expect(first.headers['content-type']).toMatch(/^application\/json/);
    expect(first.headers).not.toHaveProperty('idempotent-replayed');
    expect(Date.parse(String(first.headers['idempotency-expires']))).toBeGreaterThan(Date.now());
    expect(first.body.metadata).toEqual(metadata);

    const restarted = await service.startApiProcess();
    for (const url of [restarted.url, service.apiUrl]) {
      const again = await charge(url, 'restart', { metadata, description: 'Tee & Kaffee ☕' });
      expectReplay(again, first);
    }
    await restarted.kill();
  });

  test('for any order of the members and any white space', async () => {
    const one =
      '{"amount":500,"currency":"eur","payment_method":"pm_card_visa","metadata":{"a":"1","b":"2"}}';
    const two = `{ "metadata" : {"b":"\\u0032",\n "a":"1"},
      "payment_method":"pm_card_visa", "currency":"eur", "amount":5.0e2 }`;
    const first = await charge(service.apiUrl, 'order', {}, { body: one });
    expect(first.status).toBe(201);
    expectReplay(await charge(service.apiUrl, 'order', {}, { body: two }), first);
  });

  test('for the quoted and the unquoted form of the key', async () => {
    const first = await charge(service.apiUrl, 'abc-1');
    expectReplay(await charge(service.apiUrl, '"abc-1"'), first);
    const other = await charge(service.apiUrl, 'ABC-1');
    expect(other.body.id).not.toBe(first.body.id); // case matters
  });

  test('under another API key of the same account', async () => {
    const db = await new DataSource({ type: 'postgres', url: service.databaseUrl }).initialize();
    const [acme] = await db.query(`SELECT id FROM accounts WHERE name = 'acme'`);
    const refreshed = await addApiKey(new TypeOrmDatabase(db), acme.id);
    await db.destroy();
    const first = await charge(service.apiUrl, 'refreshed credential');
    const again = await charge(service.apiUrl, 'refreshed credential', {}, { apiKey: refreshed });
    expectReplay(again, first);
    expect(await paymentsOf(service.sandboxUrl, first.body.id)).toHaveLength(1);
  });
});

describe('another request with a used key is 422 and creates nothing', () => {
  const base = { metadata: { a: '1' }, description: 'one' };
  beforeAll(async () => {
    expect((await charge(service.apiUrl, 'used', base)).status).toBe(201);
  });

  test.each<[string, Record<string, unknown>, string[]]>([
    ['another amount', { amount: 1201 }, ['/amount']],
    ['an amount as text', { amount: '1200' }, ['/amount']],
    ['null for an absent member', { receipt_email: null }, ['/receipt_email']],
    ['an absent member', { description: undefined }, ['/description']],
    ['an array for an object', { metadata: ['1'] }, ['/metadata']],
    ['two members', { currency: 'usd', metadata: {} }, ['/currency', '/metadata']],
  ])('%s', async (_what, change, mismatched) => {
    const reply = await charge(service.apiUrl, 'used', { ...base, ...change });
    expect(reply).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused', retry: 'no', mismatched },
    });
  });

  test('the order of an array matters', async () => {
    // A charge has no array, but a used key is checked before the body is validated.
    const reply = await charge(service.apiUrl, 'used', { ...base, metadata: ['b', 'a'] });
    expect(reply.status).toBe(422);
  });

  test('another query string', async () => {
    const reply = await send(`${service.apiUrl}/charges?expand=all`, {
      key: 'used',
      body: { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa', ...base },
    });
    expect(reply).toMatchObject({ status: 422, body: { mismatched: [] } });
  });
});

describe('a key belongs to one account', () => {
  test('two accounts with the same key have two charges, and neither sees the other’s', async () => {
    const { apiUrl, sandboxUrl } = service;
    const globex = { apiKey: 'sk_test_globex' };
    const ours = await charge(apiUrl, 'shared');
    const theirs = await charge(apiUrl, 'shared', {}, globex);
    expect([ours.status, theirs.status]).toEqual([201, 201]);
    expect(theirs.body.id).not.toBe(ours.body.id);
    expect(theirs.headers).not.toHaveProperty('idempotent-replayed');
    const paid = (await ledger(sandboxUrl)).filter(({ metadata }) =>
      [ours.body.id, theirs.body.id].includes(metadata.charge ?? ''),
    );
    expect(new Set(paid.map(({ metadata }) => metadata.account)).size).toBe(2);
    expect((await charge(apiUrl, 'acme only')).status).toBe(201);
    expect((await lookUp(apiUrl, 'acme only', globex.apiKey)).status).toBe(404);
  });

  test('another account’s charge is the same 404 as one that does not exist', async () => {
    const { apiUrl } = service;
    const ours = await charge(apiUrl, 'private');
    const foreign = await getCharge(apiUrl, ours.body.id, 'sk_test_globex');
    const invented = await getCharge(apiUrl, `ch_${'0'.repeat(32)}`, 'sk_test_globex');
    const bytes = ({ text, body }: Reply) => text.replace(String(body.request_id), '');
    expect(foreign.status).toBe(404);
    expect(bytes(foreign)).toBe(bytes(invented));
  });
});
