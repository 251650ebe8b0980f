import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { paymentsOf } from '../support/books.js';
import { recipe } from '../support/recipes.js';
import { startService, type Service } from '../support/service.js';
import { newOrder } from './docs.support.js';

// This recipe stores a key where it survives a crash: on a phone's disk.

const apiKey = 'sk_test_acme';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const paidFor = async (charge: string) => (await paymentsOf(service.sandboxUrl, charge)).length;

/** The app, with a file as its disk. With an order, it buys with two parallel taps; without, it starts and resumes. */
const APP = `import { readFileSync, writeFileSync } from 'node:fs';
import { phone } from './phone.mjs';
const [shop, order, method] = process.argv.slice(2);
const rows = () => JSON.parse(readFileSync('disk.json', 'utf8'));
const save = (all) => writeFileSync('disk.json', JSON.stringify(all), { flush: true });
const { buy, resume } = phone({
  shop,
  disk: {
    keep: async (id, entry) => (save({ [id]: entry, ...rows() }), rows()[id]),
    remove: async (id, key) => save({ ...rows(), ...(rows()[id]?.key === key && { [id]: undefined }) }),
    all: async () => Object.values(rows()),
  },
});
const answers = order ? Promise.all([buy(order, method), buy(order, method)]) : resume();
console.log(JSON.stringify(await answers));
`;

describe('the phone', () => {
  interface Answer {
    id: string;
    status: number;
    retry?: string;
  }
  let home: string;
  let shop: Server;
  let shopUrl: string;
  /** Runs when the charge is made, before the phone has its answer. */
  let beforeAnswer = () => {};

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'charge-once-phone-'));
    await writeFile(join(home, 'phone.mjs'), recipe('phone'));
    await writeFile(join(home, 'app.mjs'), APP);
    const { pay } = (await import(resolve('docs/merchant.mjs'))) as {
      pay: (request: object, response: object, settings: object) => Promise<void>;
    };
    shop = createServer((request, response) => {
      response.writeHead = new Proxy(response.writeHead.bind(response), {
        apply(writeHead, _this, head: [number]) {
          beforeAnswer();
          return writeHead(...head);
        },
      });
      void pay(request, response, { api: service.apiUrl, apiKey });
    });
    shop.listen(0, '127.0.0.1');
    await once(shop, 'listening');
    shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    shop.close();
    await rm(home, { recursive: true, force: true });
  });
  beforeEach(async () => {
    beforeAnswer = () => {};
    await writeFile(join(home, 'disk.json'), '{}');
  });

  /** One run of the app. */
  function live(...args: string[]) {
    const app = spawn(process.execPath, ['app.mjs', shopUrl, ...args], { cwd: home });
    const printed = text(app.stdout);
    return {
      kill: () => app.kill('SIGKILL'),
      printed,
      answers: async () => JSON.parse(await printed) as Answer[],
    };
  }
  const disk = async () => JSON.parse(await readFile(join(home, 'disk.json'), 'utf8')) as object;

  test('sends one key for two taps, and forgets it when the customer has paid', async () => {
    const answers = await live(await newOrder(service.apiUrl), 'pm_card_visa').answers();
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(answers[0]!.id).toBe(answers[1]!.id);
    expect(await disk()).toEqual({});
  });

  test('that is killed between charge and answer finds its key at the next start', async () => {
    const order = await newOrder(service.apiUrl);
    const app = live(order, 'pm_card_visa');
    beforeAnswer = app.kill;
    expect(await app.printed).toBe('');
    expect(await disk()).toMatchObject({ [order]: { order, payment_method: 'pm_card_visa' } });
    beforeAnswer = () => {};
    const [resumed] = await live().answers();
    expect(resumed).toMatchObject({ status: 201 });
    expect(await paidFor(resumed!.id)).toBe(1);
    expect(await disk()).toEqual({});
    expect(await live().answers()).toEqual([]);
  });

  test('uses a new key after a decline', async () => {
    const order = await newOrder(service.apiUrl);
    const [declined] = await live(order, 'pm_card_visa_chargeDeclined').answers();
    expect(declined).toMatchObject({ retry: 'new_key' });
    expect((await live(order, 'pm_card_visa').answers())[0]).toMatchObject({ status: 201 });
  });

  test('keeps its key while the shop does not answer', async () => {
    const order = await newOrder(service.apiUrl);
    const { port } = shop.address() as AddressInfo;
    shop.close();
    shop.closeAllConnections();
    const answers = await live(order, 'pm_card_visa').answers();
    expect(answers).toEqual([{ retry: 'same_key' }, { retry: 'same_key' }]);
    expect(await disk()).toMatchObject({ [order]: { order } });
    shop.listen(port, '127.0.0.1');
    await once(shop, 'listening');
    expect(await live().answers()).toMatchObject([{ status: 201 }]);
  });
});
