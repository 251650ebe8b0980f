import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROBLEMS } from '../../../src/problems/problem-catalogue.js';
import { startApp, type TestApp } from '../../support/app.js';
import { call, expectProblem, post } from '../../support/client.js';
import { head, sendRaw } from '../../support/raw-http.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

describe('the problem pages', () => {
  it.each(Object.entries(PROBLEMS))('exist for %s', async (code, { status, retry }) => {
    const page = await call(app, `/problems/${code}`, { apiKey: null });
    expect(page.status).toBe(200);
    expect(page.headers.get('Content-Type')).toBe('text/html; charset=utf-8');
    for (const said of [code, String(status), retry]) expect(page.text).toContain(said);
    expect((await call(app, '/problems', { apiKey: null })).text).toContain(`/problems/${code}"`);
  });

  it.each(['nonsense', 'constructor', '__proto__', 'toString', '%3Cscript%3E'])(
    'do not exist for %s',
    async (code) => {
      const reply = await call(app, `/problems/${code}`, { apiKey: null });
      expectProblem(reply, 404, 'not_found', 'after_fix');
    },
  );

  it('say for 503 and 504 what a new key can cause', async () => {
    for (const code of ['processor_outcome_unknown', 'processor_unavailable', 'outcome_unknown']) {
      const { text: page } = await call(app, `/problems/${code}`, { apiKey: null });
      expect(page).toContain('a new key after this answer can charge twice');
      expect(page).toContain('<code>order</code>');
    }
  });
});

describe('every answer', () => {
  it('has its own Request-Id', async () => {
    const ids = await Promise.all(
      ['/charges', '/health/live', '/problems', '/charges'].map(
        async (path) => (await call(app, path)).headers.get('Request-Id') ?? '',
      ),
    );
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id).toMatch(/^req_/);
  });

  it('has the key, if it was valid, even on errors of the framework', async () => {
    for (const path of ['/charges', '/nowhere']) {
      const reply = await post(app, path, '{', { key: '"a-key"' });
      expect(reply.headers.get('Idempotency-Key')).toBe('"a-key"');
    }
    expect((await post(app, '/charges', '{', { key: 'a,b' })).headers.get('Idempotency-Key')).toBe(
      null,
    );
  });

  it('has no header of ours if Node’s parser refused the request', async () => {
    const answer = await sendRaw(app.port, 'GET /charges HTTP/1.1\r\nbad header\r\n\r\n');
    expect(answer.status).toBe(400);
    expect(answer.headers['request-id']).toBeUndefined();
  });

  it('follows an unknown Expect header, which we ignore', async () => {
    const answer = await sendRaw(app.port, head('GET /health/live', { Expect: 'a-pony' }));
    expect(answer.status).toBe(200);
    expect(answer.headers['request-id']).toMatch(/^req_/);
  });
});
