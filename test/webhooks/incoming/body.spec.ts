import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '../../support/service.js';
import {
  deliver,
  event,
  intent,
  leavePending,
  startListening,
  statesOf,
  statusOf,
  notify,
  type PendingCharge,
} from './incoming.support.js';

/** Correctly signed but unreadable bodies. Each is refused or dropped, and none breaks the route. */
let service: Service;
let charge: PendingCharge;
beforeAll(async () => {
  service = await startListening();
  charge = await leavePending(service, 'unreadable');
});
afterAll(() => service.stop());

async function nothingIsStored(): Promise<void> {
  const { rows } = await service.db.query('SELECT id FROM processor_events');
  expect(rows).toEqual([]);
  expect(await statusOf(service, charge.id)).toBe('pending');
}

const LIMIT_BYTES = 1024 * 1024;
const padded = (bytes: number) => {
  const text = JSON.stringify(event('ping', {}));
  return text.replace(/}$/, `,"filler":"${'x'.repeat(bytes - text.length - 12)}"}`);
};

describe('a signed body', () => {
  test.each([
    ['text', 'hello'],
    ['cut off', JSON.stringify(event('ping', {})).slice(0, -1)],
    ['with a comment', '{"id":"evt_1"/**/}'],
    ['form-encoded', 'id=evt_1&type=ping'],
    ['white space', '  '],
  ])('that is not JSON is refused: %s', async (_what, text) => {
    expect(await deliver(service.apiUrl, text)).toMatchObject({
      status: 400,
      body: { code: 'malformed_json' },
    });
  });

  test('is accepted up to 1 MiB, and refused from the next byte on', async () => {
    const full = padded(LIMIT_BYTES);
    expect(Buffer.byteLength(full)).toBe(LIMIT_BYTES);
    expect((await deliver(service.apiUrl, full)).status).toBe(200);
    const over = await deliver(service.apiUrl, padded(LIMIT_BYTES + 1));
    expect(over).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
    expect(over.body.detail).toContain('1024 KiB');
  });

  test('may be nested deeper than clients’ bodies', async () => {
    const depth = 10_000;
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const text = JSON.stringify(event('ping', {})).replace('{}', `{"deep":${deep}}`);
    expect((await deliver(service.apiUrl, text)).status).toBe(200);
    const deepest = '['.repeat(LIMIT_BYTES / 2) + ']'.repeat(LIMIT_BYTES / 2);
    expect((await deliver(service.apiUrl, deepest)).status).toBe(400);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a number', 1],
    ['a list', []],
    ['an object without a type', {}],
    ['a type that is no text', { type: 1 }],
    ['no data', { id: 'evt_1', type: 'payment_intent.succeeded' }],
    ['data that is null', { id: 'evt_1', type: 'payment_intent.succeeded', data: null }],
    ['no object', { id: 'evt_1', type: 'payment_intent.succeeded', data: {} }],
    ['a list for an object', { id: 'evt_1', type: 'refund.created', data: { object: [] } }],
  ])('of the wrong shape is refused: %s', async (_what, body) => {
    expect(await deliver(service.apiUrl, JSON.stringify(body))).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    });
  });

  test.each<[string, Record<string, unknown>]>([
    ['no id of its own', { id: undefined }],
    ['an id with U+0000 in it', { id: 'evt_\0' }],
    ['an id that is a number', { id: 17 }],
    ['an id that is too long', { id: `evt_${'x'.repeat(300)}` }],
  ])('about a charge of ours with %s is refused', async (_what, changes) => {
    const sent = { ...event('payment_intent.succeeded', intent(charge)), ...changes };
    expect((await deliver(service.apiUrl, JSON.stringify(sent))).status).toBe(400);
    await nothingIsStored();
  });

  test.each<[string, Record<string, unknown>]>([
    ['no reference', { id: undefined }],
    ['an amount in text', { amount: '1200' }],
    ['an amount with a fraction', { amount: 12.5 }],
    ['an amount below nothing', { amount: -1200 }],
    ['an amount beyond all numbers', { amount: 2 ** 53 }],
    ['no amount', { amount: undefined }],
    ['no currency', { currency: null }],
    ['no status', { status: undefined }],
    [
      'a failure that PostgreSQL cannot keep',
      { status: 'requires_payment_method', last_payment_error: { code: 'a\0b' } },
    ],
    ['a failure that is no text', { status: 'canceled', last_payment_error: { code: {} } }],
  ])('about a payment of ours with %s is refused', async (_what, changes) => {
    const sent = event('payment_intent.succeeded', intent(charge, changes));
    expect((await deliver(service.apiUrl, JSON.stringify(sent))).status).toBe(400);
    await nothingIsStored();
  });

  test.each<[string, unknown]>([
    ['a type that we do not use', { id: 'evt_1', type: 'customer.created' }],
    ['a type of tomorrow, of another shape', { type: 'v9.core.whatever', changes: [] }],
    ['a notification of the new kind', { id: 'evt_1', object: 'v2.core.event', type: 'v1.x' }],
  ])('is acknowledged and dropped: %s', async (_what, body) => {
    expect((await deliver(service.apiUrl, JSON.stringify(body))).status).toBe(200);
    await nothingIsStored();
  });

  test.each<[string, unknown]>([
    ['none', undefined],
    ['null', null],
    ['a list', ['charge']],
    ['an empty charge', { charge: '', account: 'acct_1' }],
    ['a charge that no database can hold', { charge: 'ch_\0', account: 'acct_1' }],
    ['a charge in half a character', { charge: 'ch_\ud800', account: 'acct_1' }],
    ['a charge that is a number', { charge: 1, account: 'acct_1' }],
    ['another program’s values', { charge: 'the blue one', account: 'Müller & sons' }],
    ['no account', { charge: `ch_${'0'.repeat(32)}` }],
  ])(
    'about a payment whose metadata cannot be ours is acknowledged and dropped: %s',
    async (_what, metadata) => {
      await notify(
        service.apiUrl,
        event('payment_intent.succeeded', { ...intent(charge), metadata }),
      );
      await nothingIsStored();
    },
  );

  test('with any Unicode in it is applied', async () => {
    const metadata = {
      charge: charge.id,
      account: charge.account,
      note: 'ǅ \u{1F469}\u200D\u{1F680} ﷽ \u202E',
    };
    const sent = event(
      'payment_intent.succeeded',
      intent(charge, { description: '\u0000 日本 \uD800', metadata }), // escaped, as by JSON.stringify
    );
    await notify(service.apiUrl, sent);
    expect(await statesOf(service, sent.id)).toEqual(['applied']);
    expect(await statusOf(service, charge.id)).toBe('succeeded');
  });
});
