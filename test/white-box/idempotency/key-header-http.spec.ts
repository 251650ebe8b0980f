import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type TestApp } from '../../support/app.js';
import { call, CHARGE, post } from '../../support/client.js';
import { head, sendRaw } from '../../support/raw-http.js';

const quote = (key: string) => `"${key.replaceAll(/["\\]/g, '\\$&')}"`;

describe('the Idempotency-Key header over HTTP', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.stop());

  const body = JSON.stringify(CHARGE);
  const withKeys = (...keys: (string | Buffer)[]) => {
    const text = head('POST /charges', {
      Authorization: `Bearer ${app.acme.apiKey}`,
      'Content-Type': 'application/json',
      'Content-Length': String(body.length),
    });
    const lines = keys.map((key) =>
      Buffer.concat([Buffer.from('Idempotency-Key: '), Buffer.from(key), Buffer.from('\r\n')]),
    );
    return sendRaw(
      app.port,
      Buffer.concat([Buffer.from(text.slice(0, -2)), ...lines, Buffer.from(`\r\n${body}`)]),
    );
  };

  it('unquoted and quoted keys make one charge, and the header is echoed unchanged', async () => {
    const first = await post(app, '/charges', CHARGE, { key: 'abc-1' });
    const again = await post(app, '/charges', CHARGE, { key: '"abc-1"' });
    expect(again.text).toBe(first.text);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(first.headers.get('Idempotency-Key')).toBe('abc-1');
    expect(again.headers.get('Idempotency-Key')).toBe('"abc-1"');
    const other = await post(app, '/charges', CHARGE, { key: 'ABC-1' });
    expect(other.body.id).not.toBe(first.body.id);
  });

  it('two header lines are not a key, even when they are equal', async () => {
    for (const keys of [
      ['a', 'b'],
      ['a', 'a'],
      ['"a"', '"a"'],
    ]) {
      const answer = await withKeys(...keys);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.text)).toMatchObject({
        code: 'idempotency_key_invalid',
        retry: 'after_fix',
      });
      expect(answer.headers['idempotency-key']).toBeUndefined();
    }
  });

  it('an empty line is an invalid key, and no line is a missing key', async () => {
    expect((await withKeys('')).text).toContain('idempotency_key_invalid');
    expect((await withKeys()).text).toContain('idempotency_key_missing');
  });

  it('refuses non-ASCII bytes, in UTF-8 and in Latin-1', async () => {
    for (const key of ['é', Buffer.from([0x61, 0xe9]), Buffer.from([0xa0, 0x61])])
      expect((await withKeys(key)).text).toContain('idempotency_key_invalid');
  });

  it('GET ignores it', async () => {
    const reply = await call(app, '/charges', { key: 'a,b' });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('Idempotency-Key')).toBeNull();
  });

  it('the lookup accepts the unquoted form, percent-encoded', async () => {
    const key = 'a/b "c", 100% \\';
    const made = await post(app, '/charges', CHARGE, { key: quote(key) });
    expect(made.status).toBe(201);
    const found = await call(app, `/idempotency-keys/${encodeURIComponent(key)}`);
    expect(found.body).toMatchObject({
      key,
      operation: 'POST /charges',
      state: 'completed',
      status: 201,
      attempts: 1,
    });
    const quoted = await call(app, `/idempotency-keys/${encodeURIComponent(quote(key))}`);
    expect(quoted).toMatchObject({ status: 404, body: { code: 'not_found', retry: 'after_fix' } });
    for (const impossible of ['%C3%A9', '%00', 'k'.repeat(256)])
      expect((await call(app, `/idempotency-keys/${impossible}`)).status).toBe(404);
    const strange = await call(app, `/idempotency-keys/${encodeURIComponent(key)}`, {
      apiKey: app.globex.apiKey,
    });
    expect(strange.status).toBe(404);
  });
});
