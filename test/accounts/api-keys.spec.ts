import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TypeOrmDatabase, addApiKey } from '../support/internals.js';
import { startApp, type TestApp } from '../support/app.js';
import { call, CHARGE, expectProblem, post } from '../support/client.js';
import { head, sendRaw } from '../support/raw-http.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

const as = (authorization: string) =>
  call(app, '/charges', { apiKey: null, headers: { authorization } });

describe('the API key', () => {
  it.each(['Bearer', 'bearer', 'BEARER', 'Bearer '])('may follow %p', async (scheme) => {
    expect((await as(`${scheme} ${app.acme.apiKey}`)).status).toBe(200);
  });

  it.each([
    ['is missing', () => ''],
    ['is unknown', () => 'Bearer sk_test_nobody'],
    ['is empty', () => 'Bearer '],
    ['has no scheme', () => app.acme.apiKey],
    ['comes as Basic', () => `Basic ${Buffer.from(`${app.acme.apiKey}:`).toString('base64')}`],
    ['comes under another scheme', () => `Token ${app.acme.apiKey}`],
    ['has no space before it', () => `Bearer${app.acme.apiKey}`],
    ['is in another case', () => `Bearer ${app.acme.apiKey.toUpperCase()}`],
    ['has something behind it', () => `Bearer ${app.acme.apiKey} x`],
    ['is cut short', () => `Bearer ${app.acme.apiKey.slice(0, -1)}`],
    ['is its own hash', () => `Bearer ${sha256(app.acme.apiKey).toString('hex')}`],
  ])('is refused when it %s', async (_why, authorization) => {
    const reply = await as(authorization());
    expectProblem(reply, 401, 'unauthorized', 'after_fix');
    expect(reply.headers.get('WWW-Authenticate')).toBe('Bearer');
    expect(reply.text).not.toContain(app.acme.apiKey);
  });

  it('is refused in the query', async () => {
    expect((await call(app, `/charges?api_key=${app.acme.apiKey}`, { apiKey: null })).status).toBe(
      401,
    );
  });

  it('that was revoked is refused after one second, like an unknown one', async () => {
    const revoked = await addApiKey(new TypeOrmDatabase(app.db), app.acme.id);
    expect((await as(`Bearer ${revoked}`)).status).toBe(200);
    await app.db.query('UPDATE api_keys SET revoked_at = now() WHERE key_hash = $1', [
      sha256(revoked),
    ]);
    await delay(1_000); // real time: one second is the promise
    const bytes = async (apiKey: string) => {
      const { text, body } = await as(`Bearer ${apiKey}`);
      return text.replace(body.request_id, '');
    };
    expect(await bytes(revoked)).toBe(await bytes('sk_test_nobody'));
  });

  it('is stored only as its hash', async () => {
    const rows: object[] = await app.db.query('SELECT * FROM api_keys WHERE account_id = $1', [
      app.acme.id,
    ]);
    expect(rows).toHaveLength(1 + 1);
    expect(rows).toContainEqual(expect.objectContaining({ key_hash: sha256(app.acme.apiKey) }));
    expect(JSON.stringify(rows)).not.toContain('sk_test_');
  });
});

describe('two keys', () => {
  it('of one account see the same charges and share idempotency keys, so a retry with a new API key is safe', async () => {
    const renewed = await addApiKey(new TypeOrmDatabase(app.db), app.acme.id);
    const key = randomUUID();
    const first = await post(app, '/charges', CHARGE, { key });
    const retry = await post(app, '/charges', CHARGE, { key, apiKey: renewed });
    expect(retry.text).toBe(first.text);
    expect(retry.headers.get('Idempotent-Replayed')).toBe('true');
    expect((await call(app, `/charges/${first.body.id}`, { apiKey: renewed })).status).toBe(200);
  });

  it('of two accounts share nothing: the same idempotency key makes another charge', async () => {
    const key = randomUUID();
    const ours = await post(app, '/charges', CHARGE, { key });
    const theirs = await post(app, '/charges', CHARGE, { key, apiKey: app.globex.apiKey });
    expect(theirs.status).toBe(201);
    expect(theirs.headers.get('Idempotent-Replayed')).toBeNull();
    expect(theirs.body.id).not.toBe(ours.body.id);
    expect(
      (await call(app, `/charges/${ours.body.id}`, { apiKey: app.globex.apiKey })).status,
    ).toBe(404);
  });
});

describe('no API key is needed', () => {
  it.each(['/health/live', '/health/ready', '/problems', '/problems/not_found'])(
    'for %s',
    async (path) => {
      expect((await call(app, path, { apiKey: null })).status).toBe(200);
      expect((await call(app, path, { apiKey: 'sk_test_nobody' })).status).toBe(200);
    },
  );

  it.each(['/charges', '/charges/ch_1', '/idempotency-keys/a'])('except for %s', async (path) => {
    expect((await call(app, path, { apiKey: null })).status).toBe(401);
    const answer = await sendRaw(app.port, head(`GET ${path}`, {}));
    expect(answer.headers['www-authenticate']).toBe('Bearer');
  });
});

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
