import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  addressPolicy,
  checkEndpointUrl,
  type AddressPolicy,
} from '../../../src/webhooks/outgoing/address-policy.js';
import { send } from '../../../src/webhooks/outgoing/sender.js';
import { startApp, type TestApp } from '../../support/app.js';
import { expectProblem, post } from '../../support/client.js';
import { startReceiver, type Receiver } from '../../support/receiver.js';
import { startService, type Service } from '../../support/service.js';
import { firstAttempt, happen, newEndpoint } from '../../webhooks/webhooks.support.js';
import { HOSTILE_ADDRESSES, HOSTILE_NAMES, HOSTILE_URLS } from './hostile-urls.js';

const PUBLIC = '93.184.216.34';
const publicly = (resolve: AddressPolicy['resolve'] = async () => [PUBLIC]): AddressPolicy => ({
  publicOnly: true,
  resolve,
});
const NEVER = new AbortController().signal;

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.stop());

const attempt = (url: string, policy: AddressPolicy) =>
  send({ url, id: 'evt_1', body: '{}', secrets: [] }, policy, NEVER, 10_000);
const REFUSED = { error: 'the address is not allowed' };

describe('in production', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ env: { NODE_ENV: 'production' } });
  });
  afterAll(() => app.stop());
  const save = (url: string) => post(app, '/webhook-endpoints', { url, events: ['*'] });

  test.each([...HOSTILE_ADDRESSES, ...HOSTILE_NAMES].map((host) => `https://${host}/hooks`))(
    '%s is refused when it is saved',
    async (url) => {
      const reply = await save(url);
      expectProblem(reply, 400, 'validation_failed', 'after_fix');
      expect(reply.body.errors).toEqual([{ pointer: '/url', detail: 'must be a public address' }]);
    },
  );

  test.each(HOSTILE_URLS)('%j is refused when it is saved', async (url) => {
    const reply = await save(url);
    expectProblem(reply, 400, 'validation_failed', 'after_fix');
    expect(reply.body.errors[0].pointer).toBe('/url');
  });

  test.each([
    ' https://shop.example/',
    'https://shop.example/ ',
    'https://shop.example/ho oks',
    'https://shop\t.example/',
    'https://shop.example/\n',
    'https://shop.example/\u007f',
    'https://shop.ex\u00adample/',
    'https://shop.example/\u200b',
    'https://shop.example/\u202e',
  ])('%j is refused, because the shown URL would not be the one that is used', async (url) => {
    const reply = await save(url);
    expectProblem(reply, 400, 'validation_failed', 'after_fix');
    const detail = 'must not have blanks or invisible characters in it';
    expect(reply.body.errors).toEqual([{ pointer: '/url', detail }]);
  });

  test.each([
    `https://${PUBLIC}/hooks`,
    `https://${PUBLIC}:8443/h?a=b`,
    'https://[2606:4700::1111]/',
  ])('%s is saved', async (url) => {
    expect((await save(url)).status).toBe(201);
  });

  test.each([...HOSTILE_ADDRESSES, ...HOSTILE_NAMES])(
    'no connection is made to %s',
    async (host) => {
      const before = receiver.connections();
      const policy = publicly(async () => ['127.0.0.1']);
      expect(await attempt(`https://${host.replace(/\.$/, '')}:${receiver.port}/`, policy)).toEqual(
        REFUSED,
      );
      expect(receiver.connections()).toBe(before);
    },
  );

  test.each(['http:', 'https://a@'])(
    'no connection is made to an address that was saved under other rules: %s',
    async (start) => {
      const before = receiver.connections();
      const url = `${start}//127.0.0.1:${receiver.port}/`.replace('@//', '@');
      expect(
        await attempt(
          url,
          publicly(async () => ['127.0.0.1']),
        ),
      ).toEqual(REFUSED);
      expect(receiver.connections()).toBe(before);
    },
  );
});

test.each([
  ['http://127.0.0.1:9/hooks', 'must be an https URL'],
  ['https://127.0.0.1:9/hooks', 'must be a public address'],
])('with a Stripe key, %s is also refused', async (url, detail) => {
  const app = await startApp({ env: { STRIPE_SECRET_KEY: 'sk_test_1' } });
  const reply = await post(app, '/webhook-endpoints', { url, events: ['*'] });
  await app.stop();
  expectProblem(reply, 400, 'validation_failed', 'after_fix');
  expect(reply.body.errors).toEqual([{ pointer: '/url', detail }]);
});

describe('a name', () => {
  const NAME = () => `https://shop.example:${receiver.port}/`;

  test.each([
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '169.254.169.254',
    '::ffff:127.0.0.1',
    'not an address',
  ])('that resolves to %s is refused when it is saved and at each connection', async (address) => {
    const before = receiver.connections();
    for (const addresses of [[address], [PUBLIC, address], [address, PUBLIC]]) {
      const policy = publicly(async () => addresses);
      await expect(checkEndpointUrl(NAME(), policy)).rejects.toMatchObject({ status: 400 });
      expect(await attempt(NAME(), policy)).toEqual(REFUSED);
    }
    expect(receiver.connections()).toBe(before);
  });

  test('that was public when saved and is loopback at the connection is refused (DNS rebinding)', async () => {
    const before = receiver.connections();
    const answers = [[PUBLIC], ['127.0.0.1']];
    const rebinding = publicly(async () => answers.shift() ?? ['127.0.0.1']);
    await checkEndpointUrl(NAME(), rebinding);
    expect(await attempt(NAME(), rebinding)).toEqual(REFUSED);
    expect(receiver.connections()).toBe(before);
  });

  test('is resolved once for each connection: the checked address is the one used', async () => {
    let asked = 0;
    const once = {
      ...addressPolicy(false),
      resolve: async () => (++asked === 1 ? ['127.0.0.1'] : [PUBLIC]),
    };
    const path = `/${randomUUID()}`;
    expect(await attempt(`http://shop.example:${receiver.port}${path}`, once)).toEqual({
      status: 200,
    });
    expect(asked).toBe(1);
    expect(receiver.at(path)).toHaveLength(1);
  });

  test('that cannot be resolved may be saved, because it may resolve later; no connection is made', async () => {
    const lost = publicly(() =>
      Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
    );
    await checkEndpointUrl(NAME(), lost);
    expect(await attempt(NAME(), lost)).toEqual({ error: 'the request failed: ENOTFOUND' });
    expect(
      await attempt(
        NAME(),
        publicly(async () => []),
      ),
    ).toEqual(REFUSED);
  });
});

describe('locally', () => {
  const policy = addressPolicy(false);

  test.each(['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '2130706433'])(
    'http and the loopback are allowed: %s (the port that the other tests refuse is in use)',
    async (host) => {
      const url = `http://${host}:${receiver.port}/`;
      await checkEndpointUrl(url, policy);
      expect(await attempt(url, policy)).toEqual({ status: 200 });
    },
  );

  test.each(['10.0.0.1', '169.254.169.254', '[fe80::1]', '[64:ff9b::7f00:1]', '0.0.0.0'])(
    'no other private address is allowed: %s',
    async (host) => {
      const url = `http://${host}:${receiver.port}/`;
      await expect(checkEndpointUrl(url, policy)).rejects.toMatchObject({ status: 400 });
      expect(await attempt(url, policy)).toEqual(REFUSED);
    },
  );
});

describe('a worker in production', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
    await service.startWorker({ NODE_ENV: 'production', LAB: '0' });
  });
  afterAll(() => service.stop());

  test('makes no connection to an endpoint that was saved before production', async () => {
    const before = receiver.connections();
    const endpoint = await newEndpoint(service, receiver);
    await happen(service);
    const refused = { number: 1, response_status: null, ...REFUSED };
    expect(await firstAttempt(service.db, endpoint)).toEqual(refused);
    expect(receiver.connections()).toBe(before);
  });
});
