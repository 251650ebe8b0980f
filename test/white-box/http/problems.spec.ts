import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROBLEMS } from '../../../src/openapi/problem-catalogue.js';
import { startApp, type TestApp } from '../../support/app.js';
import { call, expectProblem, post } from '../../support/client.js';
import { head, sendRaw } from '../../support/raw-http.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

describe('the problem pages', () => {
  it.each(Object.entries(PROBLEMS))('%s has one', async (code, { status, retry }) => {
    const page = await call(app, `/problems/${code}`, { apiKey: null });
    expect(page.status).toBe(200);
    expect(page.headers.get('Content-Type')).toBe('text/html; charset=utf-8');
    for (const said of [code, String(status), retry]) expect(page.text).toContain(said);
    expect((await call(app, '/problems', { apiKey: null })).text).toContain(`/problems/${code}"`);
  });

  it.each(['nonsense', 'constructor', '__proto__', 'toString', '%3Cscript%3E'])(
    '%s has none',
    async (code) => {
      const reply = await call(app, `/problems/${code}`, { apiKey: null });
      expectProblem(reply, 404, 'not_found', 'after_fix');
    },
  );

  it('say about 503 and 504 what a new key can do', async () => {
    for (const code of ['processor_outcome_unknown', 'processor_unavailable', 'outcome_unknown']) {
      const { text: page } = await call(app, `/problems/${code}`, { apiKey: null });
      expect(page).toContain('a new key after this answer can charge twice');
      expect(page).toContain('<code>order</code>');
    }
  });
});

describe('what every answer carries', () => {
  it('is a Request-Id of its own', async () => {
    const ids = await Promise.all(
      ['/charges', '/health/live', '/problems', '/charges'].map(
        async (path) => (await call(app, path)).headers.get('Request-Id') ?? '',
      ),
    );
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id).toMatch(/^req_/);
  });

  it('is the key, if it was valid, on errors of the framework, too', async () => {
    for (const path of ['/charges', '/nowhere']) {
      const reply = await post(app, path, '{', { key: '"a-key"' });
      expect(reply.headers.get('Idempotency-Key')).toBe('"a-key"');
    }
    expect((await post(app, '/charges', '{', { key: 'a,b' })).headers.get('Idempotency-Key')).toBe(
      null,
    );
  });

  it('is nothing of ours when Node’s parser refused the request', async () => {
    const answer = await sendRaw(app.port, 'GET /charges HTTP/1.1\r\nbad header\r\n\r\n');
    expect(answer.status).toBe(400);
    expect(answer.headers['request-id']).toBeUndefined();
  });

  it('is there for an expectation that we do not know, which we ignore', async () => {
    const answer = await sendRaw(app.port, head('GET /health/live', { Expect: 'a-pony' }));
    expect(answer.status).toBe(200);
    expect(answer.headers['request-id']).toMatch(/^req_/);
  });
});
