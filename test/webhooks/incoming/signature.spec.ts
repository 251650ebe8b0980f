import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { send } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import {
  deliver,
  event,
  intent,
  leavePending,
  SECRET,
  signature,
  startListening,
  statesOf,
  statusOf,
  type PendingCharge,
} from './incoming.support.js';

/** A forged notification could declare charges paid. Only the signature prevents that. */
let service: Service;
let charge: PendingCharge;
/** The notification that an attacker would forge. */
let news: { id: string; text: string };
beforeAll(async () => {
  service = await startListening();
  charge = await leavePending(service, 'forged');
  const sent = event('payment_intent.succeeded', intent(charge, { description: 'Gâteau 🎂 & co' }));
  news = { id: sent.id, text: JSON.stringify(sent) };
});
afterAll(() => service.stop());

async function expectNothingHappened(): Promise<void> {
  expect(await statesOf(service, news.id)).toEqual([]);
  expect(await statusOf(service, charge.id)).toBe('pending');
}

async function expectNotBelieved(reply: ReturnType<typeof deliver>): Promise<void> {
  expect(await reply).toMatchObject({
    status: 400,
    body: { code: 'validation_failed', errors: [{ pointer: '/Stripe-Signature' }] },
  });
  await expectNothingHappened();
}

const parts = (header: string) => {
  const [, t = '', v1 = ''] = /^t=(\d+),v1=(\w+)$/.exec(header) ?? [];
  return { t: Number(t), v1 };
};

describe('a notification is refused and has no effect', () => {
  test.each<[string, (text: string) => string | null]>([
    ['without a signature', () => null],
    ['with an empty one', () => ''],
    ['with garbage', () => 'garbage'],
    ['with fields of no value', () => 't,v1'],
    ['with empty fields', () => 't=,v1='],
    ['with a time and no signature', (text) => `t=${parts(signature(text)).t}`],
    ['with a signature and no time', (text) => `v1=${parts(signature(text)).v1}`],
    ['with a signature of an old scheme only', (text) => signature(text).replace('v1=', 'v0=')],
    ['with a time that is none', (text) => signature(text).replace(/t=\d+/, 't=now')],
    ['with half a signature', (text) => signature(text).slice(0, -32)],
    ['with more than a signature', (text) => `${signature(text)}00`],
    ['signed with another secret', (text) => signature(text, 'whsec_somebody-elses')],
    ['signed with a secret that is public', (text) => signature(text, 'whsec_sandbox')],
    ['signed with no secret', (text) => signature(text, ' ')],
    ['signed more than five minutes ago', (text) => signature(text, SECRET, 310)],
    [
      'signed long ago, with the time made younger',
      (text) => signature(text, SECRET, 310).replace(/t=\d+/, `t=${parts(signature(text)).t}`),
    ],
    ['signed for another body', () => signature('{"id":"evt_1","object":"event","type":"x"}')],
    ['with two wrong signatures', (text) => `${signature(text, 'x')},v1=${'0'.repeat(64)}`],
  ])('%s', async (_how, header) => {
    await expectNotBelieved(deliver(service.apiUrl, news.text, header(news.text)));
  });

  test.each<[string, (text: string) => string | Buffer]>([
    ['another amount', (text) => text.replace('1200', '1201')],
    ['one space more', (text) => `${text} `],
    ['the same JSON in another order', (text) => JSON.stringify(reversed(JSON.parse(text)))],
    ['a character escaped', (text) => text.replace('â', '\\u00e2')],
    ['a byte order mark in front', (text) => `\uFEFF${text}`],
    ['nothing in it', () => ''],
  ])('when the body was changed: %s', async (_how, change) => {
    const changed = change(news.text);
    expect(changed).not.toBe(news.text);
    await expectNotBelieved(deliver(service.apiUrl, changed, signature(news.text)));
  });

  test('when bytes that are not UTF-8 would decode to the signed text', async () => {
    const signed = news.text.replace('Gâteau', 'G\uFFFDteau');
    const bytes = Buffer.from(signed.replace('\uFFFD', '§'), 'utf8');
    const at = bytes.indexOf(Buffer.from('§', 'utf8'));
    const sent = Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from([0xff]),
      bytes.subarray(at + 2),
    ]);
    expect(new TextDecoder().decode(sent)).toBe(signed); // as the SDK alone would decode it
    expect(await deliver(service.apiUrl, sent, signature(signed))).toMatchObject({
      status: 400,
      body: { code: 'malformed_json' },
    });
    await expectNothingHappened();
  });

  test('when this server has no secret: the log says so', async () => {
    const api = await service.startApi({ PROCESSOR_WEBHOOK_SECRET: '' });
    for (const secret of [SECRET, 'whsec_sandbox', 'undefined', 'x']) {
      const reply = await deliver(api.url, news.text, signature(news.text, secret));
      expect(reply).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
      expect(reply.text).toContain('PROCESSOR_WEBHOOK_SECRET is not set');
    }
    await api.stop();
    await expectNothingHappened();
  });
});

describe('a notification is accepted', () => {
  const believed = (id: string) => JSON.stringify({ id, object: 'event', type: 'ping', data: {} });

  test.each<[string, (text: string) => string]>([
    ['signed just now', (text) => signature(text)],
    ['signed almost five minutes ago', (text) => signature(text, SECRET, 290)],
    ['signed by a clock that is ahead', (text) => signature(text, SECRET, -60)],
    [
      'with two signatures, the first of them right: the secret is being changed',
      (text) => `${signature(text)},v1=${'0'.repeat(64)}`,
    ],
    [
      'with two signatures, the second of them right',
      (text) => signature(text).replace(',v1=', `,v1=${'0'.repeat(64)},v1=`),
    ],
    ['with a signature of an old scheme beside it', (text) => `${signature(text)},v0=abc`],
  ])('%s', async (how, header) => {
    const text = believed(`evt_${how.length}`);
    expect(await deliver(service.apiUrl, text, header(text))).toMatchObject({
      status: 200,
      body: { received: true },
    });
  });

  test('and applied: the same one that was refused above', async () => {
    expect(await deliver(service.apiUrl, news.text)).toMatchObject({ status: 200 });
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    expect(await statusOf(service, charge.id)).toBe('succeeded');
  });

  test('without an API key or with a wrong one, because the route is public', async () => {
    const text = believed('evt_public');
    const headers = { 'stripe-signature': signature(text) };
    const url = `${service.apiUrl}/webhooks/processor`;
    for (const apiKey of [null, 'sk_test_wrong'])
      expect((await send(url, { apiKey, body: text, headers })).status).toBe(200);
  });
});

function reversed(value: object): object {
  return Object.fromEntries(Object.entries(value).reverse());
}
