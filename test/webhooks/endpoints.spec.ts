import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../support/books.js';
import { send } from '../support/raw-client.js';
import { forgetPromises } from '../support/retry-promise.js';
import { startService, type Service } from '../support/service.js';
import { expireIn } from '../support/time.js';
import { postEndpoint } from './webhooks.support.js';

let service: Service;
let api: string;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

const HOOKS = { url: 'http://127.0.0.1:9/hooks', events: ['order.paid'] };
const SECRET = /^whsec_[A-Za-z0-9+/]{43}=$/;
const rotate = (id: string, key = randomUUID(), apiKey?: string) =>
  send(`${api}/webhook-endpoints/${id}/rotate-secret`, { method: 'POST', key, apiKey });

describe('POST /webhook-endpoints', () => {
  test('makes an endpoint, and shows its secret only here and in the replay', async () => {
    const key = randomUUID();
    const made = await postEndpoint(api, HOOKS, key);
    expect(made.status).toBe(201);
    expect(made.headers.location).toBe(`/webhook-endpoints/${made.body.id}`);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^we_[0-9a-v]{32}$/),
      object: 'webhook_endpoint',
      ...HOOKS,
      status: 'enabled',
      created_at: expect.stringMatching(/Z$/),
      secret: expect.stringMatching(SECRET),
    });
    const replay = await postEndpoint(api, HOOKS, key);
    expect([replay.text, replay.headers['idempotent-replayed']]).toEqual([made.text, 'true']);
    const later = await send(`${api}/webhook-endpoints/${made.body.id}`);
    expect({ ...later.body, secret: made.body.secret }).toEqual(made.body);
    expect(later.text).not.toContain('whsec_');
    expect((await send(`${api}/webhook-endpoints`)).text).not.toContain('whsec_');
  });

  test('needs a key', async () => {
    const reply = await send(`${api}/webhook-endpoints`, { body: HOOKS });
    expect(reply).toMatchObject({ status: 400, body: { code: 'idempotency_key_missing' } });
  });

  test.each([
    ['no event', [], '/events'],
    ['an unknown one', ['order.lost'], '/events/0'],
    ['one twice', ['order.paid', 'order.paid'], '/events'],
    ['a text', 'order.paid', '/events'],
  ])('refuses %s', async (_what, events, pointer) => {
    const reply = await postEndpoint(api, { ...HOOKS, events });
    expect(reply).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect(reply.body.errors).toContainEqual(
      expect.objectContaining({ pointer: expect.stringContaining(pointer.slice(0, 7)) }),
    );
  });

  test('with an expired key is 409; if its endpoint was deleted, makes it again', async () => {
    const key = randomUUID();
    const made = await postEndpoint(api, HOOKS, key);
    await expireIn(service.db, key, -1);
    const late = await postEndpoint(api, HOOKS, key);
    expect(late).toMatchObject({ status: 409, body: { code: 'idempotency_key_expired' } });
    await send(`${api}/webhook-endpoints/${made.body.id}`, { method: 'DELETE' });
    forgetPromises(); // no object is left, so the key is unused
    const again = await postEndpoint(api, HOOKS, key);
    expect(again).toMatchObject({ status: 201, body: { id: made.body.id, status: 'enabled' } });
    expect(again.body.secret).not.toBe(made.body.secret);
  });
});

describe('a webhook endpoint', () => {
  test('belongs to its account', async () => {
    const { id } = (await postEndpoint(api, HOOKS)).body;
    const other = { apiKey: 'sk_test_globex' };
    const url = `${api}/webhook-endpoints`;
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/deliveries'],
    ] as const)
      expect((await send(`${url}/${id}${path}`, { method, ...other })).status).toBe(404);
    expect((await rotate(id, randomUUID(), other.apiKey)).status).toBe(404);
    expect((await send(url, other)).text).not.toContain(id);
    expect((await send(`${url}/${id}`)).status).toBe(200);
  });

  test('is deleted for good', async () => {
    const { id } = (await postEndpoint(api, HOOKS)).body;
    const url = `${api}/webhook-endpoints/${id}`;
    for (const status of [204, 204])
      expect((await send(url, { method: 'DELETE' })).status).toBe(status);
    for (const path of ['', '/deliveries']) expect((await send(url + path)).status).toBe(404);
    expect((await rotate(id)).status).toBe(404);
    expect((await send(`${api}/webhook-endpoints/we_none`, { method: 'DELETE' })).status).toBe(404);
  });
});

describe('a rotation of the secret', () => {
  test('shows the new secret once for each key; the old one stays valid for a day', async () => {
    const made = await postEndpoint(api, HOOKS);
    const key = randomUUID();
    const rotated = await rotate(made.body.id, key);
    expect(rotated).toMatchObject({ status: 200, body: { id: made.body.id } });
    expect(rotated.body.secret).toMatch(SECRET);
    expect(rotated.body.secret).not.toBe(made.body.secret);
    expect((await rotate(made.body.id, key)).text).toBe(rotated.text);
    const { rows } = await service.db.query<{ secret: string; hours: number | null }>(
      `SELECT secret, EXTRACT(EPOCH FROM expires_at - created_at)::float8 / 3600 AS hours FROM webhook_secrets
       WHERE endpoint_id = $1 ORDER BY created_at`,
      [made.body.id],
    );
    expect(rows).toEqual([
      { secret: made.body.secret, hours: expect.closeTo(24, 1) },
      { secret: rotated.body.secret, hours: null },
    ]);
  });

  test('ten times in parallel leaves one secret that never expires', async () => {
    const { id } = (await postEndpoint(api, HOOKS)).body;
    await Promise.all(Array.from({ length: 10 }, () => rotate(id)));
    const { rows } = await service.db.query(
      'SELECT 1 FROM webhook_secrets WHERE endpoint_id = $1 AND expires_at IS NULL',
      [id],
    );
    expect(rows).toHaveLength(1);
  });
});
