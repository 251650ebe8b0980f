import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { call } from '../support/client.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(async () => {
  await app.stop();
});

const get = (path: string) => call(app, path, { apiKey: null });

test('the page loads everything from this server and has no inline code', async () => {
  const page = await get('/docs');
  expect(page.headers.get('Content-Security-Policy')).toContain("default-src 'self'");
  // Under that policy, inline scripts, styles and handlers would not run.
  expect(page.text).not.toMatch(/<script>|<script [^>]*>[^<]|<style|\son\w+=|\sstyle=/);
  const loaded = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path = '']) => path);
  expect(loaded).toHaveLength(4);
  for (const path of loaded) {
    expect(path).toMatch(/^\/docs\//);
    expect((await get(path)).status).toBe(200);
  }
});

test('the page shows our document and calls no other server', async () => {
  const { text } = await get('/docs/start.js');
  expect(text).toContain("url: '/openapi.json'");
  expect(text).toContain('validatorUrl: null');
  expect(text).not.toMatch(/https?:/);
  expect(text).not.toContain('sk_test'); // the demo key belongs to the lab
  const style = await get('/docs/swagger-ui.css');
  expect(style.text.match(/@import.{20}|url\((?!["']?data:).{20}/g)).toBeNull();
});

test('only files of the page are served', async () => {
  for (const file of ['package.json', '..%2fpackage.json', 'swagger-ui.js.map']) {
    expect((await get(`/docs/${file}`)).body).toMatchObject({ code: 'not_found' });
  }
});

test('the document has no lab without LAB=1', async () => {
  const { body } = await get('/openapi.json');
  expect(body.openapi).toBe('3.1.0');
  expect(Object.keys(body.paths as object).filter((path) => path.startsWith('/lab'))).toEqual([]);
});
