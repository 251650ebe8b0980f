import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type Stripe from 'stripe';
import type { Sandbox } from '../../src/sandbox/sandbox.server.js';
import { sdk, start } from './sandbox.support.js';

let sandbox: Sandbox;
let stripe: Stripe;

beforeAll(async () => {
  sandbox = await start();
  stripe = sdk(sandbox.port);
});
afterAll(() => sandbox.close());

/** The members that the SDK's type says are always there: those without a `?`. */
async function alwaysThere(file: string, type: string): Promise<string[]> {
  const path = `node_modules/stripe/esm/resources/${file}.d.ts`;
  const body = (await readFile(path, 'utf8')).split(`export interface ${type} {\n`)[1] ?? '';
  const members = (body.split('\n}')[0] ?? '').matchAll(/^ {4}(\w+): /gm);
  return [...members].map(([, name]) => name!);
}

describe('an object of the sandbox', () => {
  it('has every member that Stripe always sends, null where there is nothing to say', async () => {
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
