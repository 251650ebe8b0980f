import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { call } from '../support/client.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

/** Routes whose answer has no version. Products and orders have one: test/orders/etag.spec.ts. */
const UNVERSIONED = [
  '/',
  '/charges',
  '/charges?limit=1',
  '/health/live',
  '/health/ready',
  '/metrics',
  '/problems',
  '/openapi.json',
  '/docs',
  '/docs/start.js',
  '/docs/swagger-ui.css',
  '/docs/swagger-ui-bundle.js',
];

/** What a proxy, a browser or a download tool adds by itself. */
const CONDITIONS: Record<string, string>[] = [
  { 'if-none-match': '*' },
  { 'if-none-match': '"x"' },
  { 'if-match': '"x"' },
  { 'if-modified-since': 'Wed, 01 Jan 2125 00:00:00 GMT' },
  { 'if-unmodified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  { range: 'bytes=0-1' },
  { range: 'bytes=99999999-' },
];

test.each(UNVERSIONED)('GET %s is 200 under any condition', async (path) => {
  const plain = await call(app, path);
  expect(plain.status).toBe(200);
  for (const headers of CONDITIONS) {
    const { status, headers: answered, text } = await call(app, path, { headers });
    expect({ headers, status, hasBody: text.length > 0 }).toEqual({
      headers,
      status: 200,
      hasBody: true,
    });
    expect(answered.get('Content-Type')).toBe(plain.headers.get('Content-Type'));
  }
});

test('a browser keeps a file of the documentation for an hour', async () => {
  const { headers } = await call(app, '/docs/swagger-ui.css');
  expect(headers.get('Cache-Control')).toBe('public, max-age=3600');
  expect(headers.get('Content-Type')).toBe('text/css; charset=utf-8');
});
