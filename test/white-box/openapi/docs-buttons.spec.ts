import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser, Locator, Page } from 'playwright-core';
import type { OpenApiDocument } from '../../../src/openapi/document.js';
import { ensureDemoAccounts } from '../../../src/accounts/demo-accounts.js';
import { startApp, type TestApp } from '../../support/app.js';
import { freshDatabase } from '../../support/database.js';
import { startBrowser } from '../../support/browser.js';

// Slow: Swagger UI renders each opened operation in a real browser.
let database: Awaited<ReturnType<typeof freshDatabase>>;
let app: TestApp;
let browser: Browser;
let page: Page;
/** The origins that the page has called. */
const origins = new Set<string>();

beforeAll(async () => {
  database = await freshDatabase();
  await ensureDemoAccounts(database.url);
  app = await startApp({ env: { DATABASE_URL: database.url, LAB: '1' } });
  browser = await startBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(0); // Jest's own limit ends hangs
  page.on('request', (request) => void origins.add(new URL(request.url()).origin));
  await page.route('**/openapi.json', async (route) => {
    await route.fulfill({
      json: shortened((await (await route.fetch()).json()) as OpenApiDocument),
    });
  });
  await page.goto(`${app.url}/docs`);
});
afterAll(async () => {
  await browser.close();
  await app.stop();
  await database.drop();
});

/** Swagger UI reads the whole document for each opened operation, so only the tested ones stay in it. */
function shortened(document: OpenApiDocument): OpenApiDocument {
  for (const operations of Object.values(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (!(operation.operationId in TOUR)) delete operations[method];
      operation.responses = { default: { description: 'The answer.', headers: {} } };
    }
  }
  const { schemas } = document.components;
  const needed = new Set<string>();
  const visit = (part: object) => {
    for (const [, name = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (needed.has(name)) continue;
      needed.add(name);
      visit(schemas[name]!);
    }
  };
  visit(document.paths);
  for (const name of Object.keys(schemas)) if (!needed.has(name)) delete schemas[name];
  return document;
}

interface Shown {
  /** As the page shows it. */
  status: number;
  body: string;
  headers: Record<string, string>;
}

/** Values for parameters without an example. */
type Values = Readonly<Record<string, string>>;

/** Presses "Execute". Sends what the page has filled in; `values` are the fields that the page leaves empty. */
async function execute(operation: string, values: Values = {}): Promise<Shown> {
  const block = await open(operation);
  for (const [name, value] of Object.entries(values)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  const sent = page.waitForRequest((each) => each.resourceType() === 'fetch');
  await block.getByRole('button', { name: 'Execute' }).click();
  const response = await (await sent).response();
  if (!response) return { status: 0, body: 'the connection broke', headers: {} };
  const headers = response.headers();
  const shown = block.locator('.live-responses-table tbody');
  await shown.getByText(headers['request-id'] ?? 'an answer of this server').waitFor();
  const status = Number(await shown.locator('.response-col_status').innerText());
  return { status, body: await response.text(), headers };
}

/** Opens an operation and presses "Try it out", unless that has been done. */
async function open(operation: string): Promise<Locator> {
  const block = page.locator(`.opblock[id$="-${operation}"]`);
  const summary = block.locator('.opblock-summary-control');
  if ((await summary.getAttribute('aria-expanded')) === 'false') {
    await summary.click();
    await block.getByRole('button', { name: 'Try it out' }).click();
  }
  return block;
}

/** The operations in a reader's order, with values from earlier answers. */
const TOUR: Record<string, (idFrom: (operation: string) => string) => Values> = {
  putProduct: () => ({}),
  putOrder: () => ({}),
  getOrder: () => ({}),
  createOrder: () => ({}),
  listOrders: () => ({}),
  createCharge: () => ({}),
  getCharge: (idFrom) => ({ id: idFrom('createCharge') }),
  listCharges: () => ({}),
  createRefund: (idFrom) => ({ id: idFrom('createCharge') }),
  getRefund: (idFrom) => ({ id: idFrom('createRefund') }),
  listRefundsOfCharge: (idFrom) => ({ id: idFrom('createCharge') }),
  createWebhookEndpoint: () => ({}),
  listEvents: () => ({}),
  cancelOrder: (idFrom) => ({ id: idFrom('createOrder') }),
  chargeNaively: () => ({}),
};

test('every "Execute" of the page succeeds with its own values, and a second press shows the replay', async () => {
  const bodies = new Map<string, string>();
  const idFrom = (operation: string) => {
    return (JSON.parse(bodies.get(operation) ?? '{}') as { id?: string }).id ?? '';
  };
  const refused: object[] = [];
  for (const [operation, values] of Object.entries(TOUR)) {
    const { status, body, headers } = await execute(operation, values(idFrom));
    if (operation === 'createCharge') {
      expect(headers).not.toHaveProperty('idempotent-replayed');
      const second = await execute(operation);
      expect(second).toMatchObject({ status: 201, body });
      expect(second.headers).toHaveProperty('idempotent-replayed', 'true');
    }
    await page.locator(`.opblock[id$="-${operation}"] .opblock-summary-control`).click(); // closes it
    bodies.set(operation, body);
    if (status < 200 || status > 299) refused.push({ operation, status, body });
  }
  expect(refused).toEqual([]);
  expect([...origins]).toEqual([app.url]);
});
