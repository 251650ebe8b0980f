import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Stripe from 'stripe';
import { isMissingPart } from '../../../src/sandbox/protocol/missing-parts.js';
import type { Sandbox } from '../../../src/sandbox/sandbox.server.js';
import { payment, post, sdk, start } from '../../sandbox/sandbox.support.js';

let sandbox: Sandbox;
let stripe: Stripe;

beforeAll(async () => {
  sandbox = await start();
  stripe = sdk(sandbox.port);
});
afterAll(() => sandbox.close());

/** The members that the SDK's type always has: those without a `?`. */
async function alwaysThere(file: string, type: string): Promise<string[]> {
  const path = `node_modules/stripe/esm/resources/${file}.d.ts`;
  const body = (await readFile(path, 'utf8')).split(`export interface ${type} {\n`)[1] ?? '';
  const members = (body.split('\n}')[0] ?? '').matchAll(/^ {4}(\w+): /gm);
  return [...members].map(([, name]) => name!);
}

describe('an object of the sandbox', () => {
  it('has every member that Stripe always sends, null if unused', async () => {
    const intent = await stripe.paymentIntents.create({
      ...{ amount: 1200, currency: 'eur', payment_method: 'pm_card_visa', confirm: true },
      expand: ['latest_charge'],
    });
    const refund = await stripe.refunds.create({ payment_intent: intent.id });
    for (const [file, type, object] of [
      ['PaymentIntents', 'PaymentIntent', intent],
      ['Charges', 'Charge', intent.latest_charge],
      ['Refunds', 'Refund', refund],
    ] as const) {
      const expected = await alwaysThere(file, type);
      expect(expected).toContain('currency');
      expect(Object.keys(object as object)).toEqual(expect.arrayContaining(expected));
    }
  });
});

/** Every request that the official SDK can make, such as `GET /v1/charges/x1`. */
async function requestsOfSdk(): Promise<Set<string>> {
  const folder = 'node_modules/stripe/esm/resources';
  const found = new Set<string>();
  for (const file of await readdir(folder, { recursive: true })) {
    if (!file.endsWith('.js')) continue;
    const text = await readFile(join(folder, file), 'utf8');
    for (const [, method, path] of text.matchAll(/_makeRequest\('(\w+)', [`'](\/[^`']+)[`']/g))
      found.add(`${method} ${path!.replaceAll(/\$\{[^}]+\}/g, 'x1')}`);
  }
  return found;
}

describe('a feature of Stripe that the sandbox lacks', () => {
  it('is every request of the official SDK except these', async () => {
    const requests = [...(await requestsOfSdk())];
    expect(requests.length).toBeGreaterThan(500);
    const here = requests.filter((request) => {
      const [method, path] = request.split(' ') as [string, string];
      return !isMissingPart(method, path);
    });
    expect(here.sort()).toEqual([
      'GET /v1/events',
      'GET /v1/events/x1',
      'GET /v1/payment_intents',
      'GET /v1/payment_intents/x1',
      'GET /v1/refunds',
      'GET /v1/refunds/x1',
      'POST /v1/payment_intents',
      'POST /v1/payment_intents/x1/cancel',
      'POST /v1/payment_intents/x1/confirm',
      'POST /v1/refunds',
    ]);
  });

  it.each<[string, number, (stripe: Stripe) => Promise<unknown>]>([
    ['a search', 404, (sdk) => sdk.paymentIntents.search({ query: "status:'succeeded'" })],
    ['a capture', 404, (sdk) => sdk.paymentIntents.capture('pi_1')],
    ['another resource', 404, (sdk) => sdk.customers.create({ name: 'Ann' })],
    [
      'a parameter',
      400,
      (sdk) => sdk.paymentIntents.create({ amount: 1, currency: 'eur', customer: 'cus_1' }),
    ],
    [
      'a nested parameter',
      400,
      (sdk) =>
        sdk.paymentIntents.create({
          ...{ amount: 1, currency: 'eur', transfer_data: { destination: 'acct_1' } },
        }),
    ],
    ['a filter', 400, (sdk) => sdk.events.list({ delivery_success: true })],
    ['an expansion', 400, (sdk) => sdk.paymentIntents.list({ expand: ['data.customer'] })],
    ['a connected account', 400, (sdk) => sdk.refunds.list({}, { stripeAccount: 'acct_1' })],
  ])('%s is reported as missing from the sandbox, not as a typo', async (_what, status, ask) => {
    await expect(ask(stripe)).rejects.toMatchObject({
      statusCode: status,
      type: 'StripeInvalidRequestError',
      message: expect.stringMatching(/^Stripe has .* not part of this sandbox/),
    });
  });

  it('is distinguished from a typo', async () => {
    for (const path of ['/v1/payment_intent', '/v1/refund/re_1', '/v1/payment_intents/pi_1/pay']) {
      const reply = await post(sandbox, path, {});
      expect(reply.status).toBe(404);
      expect(reply.body.error?.message).toContain(`Unrecognized request URL (POST: ${path})`);
    }
    const typo = await post(sandbox, '/v1/payment_intents', { amount: '1', currencyy: 'eur' });
    expect(typo.body.error).toMatchObject({ code: 'parameter_unknown', param: 'currencyy' });
  });

  it('is an upload, and a form with a file in it', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    const body = '--x\r\nContent-Disposition: form-data; name="amount"\r\n\r\n1\r\n--x--\r\n';
    const reply = await post(sandbox, '/v1/payment_intents', body, { headers });
    expect(reply.status).toBe(400);
    expect(reply.body.error?.message).toMatch(/multipart.* not part of this sandbox/);
    const upload = await post(sandbox, '/v1/files', body, { headers });
    expect(upload.status).toBe(404);
    expect(upload.body.error?.message).toMatch(/POST \/v1\/files.* not part of this sandbox/);
  });
});

describe('other clients’ requests', () => {
  it.each(['True', 'TRUE', 'true'])('may send %s for true in a form', async (yes) => {
    const form = { ...payment('pm_card_visa'), confirm: yes, error_on_requires_action: 'False' };
    const reply = await post(sandbox, '/v1/payment_intents', form);
    expect(reply.body).toMatchObject({ status: 'succeeded' });
  });

  it('get Stripe-Version echoed, the default if absent, and an error if invalid', async () => {
    const ask = async (version?: string) => {
      const headers = version === undefined ? undefined : { 'stripe-version': version };
      const reply = await post(sandbox, '/v1/payment_intents', { amount: '1' }, { headers });
      return [reply.headers.get('stripe-version'), reply.body.error?.message];
    };
    const missing = 'Missing required param: currency.';
    expect(await ask()).toEqual([Stripe.API_VERSION, missing]);
    for (const version of ['2020-08-27', '2025-03-31.basil', '2025-03-31; feature_beta=v3'])
      expect(await ask(version)).toEqual([version, missing]);
    expect(await ask('latest')).toEqual([null, 'Invalid Stripe API version: latest']);
  });
});

describe('the filters of a list', () => {
  let intent: Stripe.PaymentIntent;
  beforeAll(async () => {
    intent = await stripe.paymentIntents.create({
      ...{ amount: 1200, currency: 'eur', payment_method: 'pm_card_visa', confirm: true },
    });
    await stripe.refunds.create({ payment_intent: intent.id });
  });
  const typesOf = async (filter: Stripe.EventListParams) => {
    const events = await stripe.events.list({ ...filter, limit: 100 });
    return [...new Set(events.data.map(({ type }) => type))].sort();
  };

  it('select the events of a group, or the named ones', async () => {
    const [group, named] = ['charge.refunded', 'payment_intent.succeeded'];
    expect(await typesOf({ type: 'charge.*' })).toEqual([group]);
    expect(await typesOf({ type: 'charge.refund.*' })).toEqual([]);
    expect(await typesOf({ type: 'refund.created' })).toEqual(['refund.created']);
    expect(await typesOf({ type: 'charge_refunded' })).toEqual([]);
    expect(await typesOf({ type: '*' })).toEqual(expect.arrayContaining([group, named]));
    expect(await typesOf({ types: [named, group] })).toEqual([group, named]);
    expect(await typesOf({ types: ['customer.created'] })).toEqual([]);
    const byIndex = await get('/v1/events?types[0]=charge.refunded');
    expect(byIndex.data?.length).toBeGreaterThan(0);
  });

  const get = async (path: string) => {
    const headers = { authorization: 'Bearer sk_test_any' };
    const response = await fetch(`${sandbox.url}${path}`, { headers });
    return { ...((await response.json()) as Listed), status: response.status };
  };
  interface Listed {
    data?: unknown[];
    error?: { param?: string; code?: string };
  }

  it.each([
    ['/v1/events?type=charge.*&types[]=charge.refunded', 'type'],
    ['/v1/events?type=*.refunded', 'type'],
    ['/v1/events?type=charge*', 'type'],
    ['/v1/events?type=.*', 'type'],
    ['/v1/events?type=', 'type'],
    ['/v1/events?type[]=charge.refunded', 'type[]'],
    ['/v1/events?types=charge.refunded', 'types'],
    ['/v1/events?types[]=', 'types'],
    ['/v1/events?types[]=charge.*', 'types'],
    [`/v1/events?${'types[]=charge.refunded&'.repeat(21)}`, 'types'],
    ['/v1/events?created=1&created[gte]=1', 'created'],
    ['/v1/payment_intents?expand=data.latest_charge', 'expand'],
    ['/v1/refunds?payment_intent=pi_missing', 'payment_intent'],
    ['/v1/refunds?charge=ch_missing', 'charge'],
  ])('%s are refused, not ignored', async (path, param) => {
    expect(await get(path)).toMatchObject({ status: 400, error: { param } });
  });

  it('by the payment select its refunds, by either of its ids', async () => {
    const other = await stripe.paymentIntents.create({
      ...{ amount: 700, currency: 'eur', payment_method: 'pm_card_visa', confirm: true },
    });
    const count = async (filter: Stripe.RefundListParams) =>
      (await stripe.refunds.list(filter)).data.length;
    const charge = intent.latest_charge as string;
    expect(await count({ payment_intent: intent.id })).toBe(1);
    expect(await count({ charge })).toBe(1);
    expect(await count({ payment_intent: other.id })).toBe(0);
    expect(await count({ payment_intent: other.id, charge })).toBe(0);
  });

  it('a client_secret of another payment shows no payment', async () => {
    const path = `/v1/payment_intents/${intent.id}?client_secret=`;
    expect((await get(`${path}${intent.client_secret}`)).status).toBe(200);
    const refused = { status: 400, error: { param: 'client_secret' } };
    expect(await get(`${path}pi_other_secret`)).toMatchObject(refused);
  });
});
