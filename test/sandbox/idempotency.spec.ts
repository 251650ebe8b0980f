import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../support/internals.js';
import {
  countPaid,
  expectReplay,
  payment,
  post,
  type Reply,
  sql,
  start,
} from './sandbox.support.js';

let sandbox: Sandbox;
let test: string;
let key: string;

beforeAll(async () => {
  sandbox = await start();
});
afterAll(() => sandbox.close());

/** A new key, and a name for its payment. */
beforeEach(() => {
  test = randomUUID();
  key = `key-${test}`;
});

const pay = (method: string, changes: Record<string, string> = {}): Promise<Reply> =>
  post(sandbox, '/v1/payment_intents', { ...payment(method, test), ...changes }, { key });

describe('a key', () => {
  it('answers a repeat with the stored answer, byte for byte, and charges once', async () => {
    const first = await pay('pm_card_visa');
    expect(first.status).toBe(200);
    expectReplay(await pay('pm_card_visa'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('charges again for a repeat without a key', async () => {
    for (let i = 0; i < 2; i++) {
      await post(sandbox, '/v1/payment_intents', payment('pm_card_visa', test));
    }
    expect(await countPaid(test)).toBe(2);
  });

  it('stores a decline like any outcome', async () => {
    const first = await pay('pm_card_visa_chargeDeclined');
    expect(first.status).toBe(402);
    expectReplay(await pay('pm_card_visa_chargeDeclined'), first);
  });

  it('ignores the order of the parameters', async () => {
    const first = await pay('pm_card_visa');
    const turned = Object.fromEntries(Object.entries(payment('pm_card_visa', test)).reverse());
    expectReplay(await post(sandbox, '/v1/payment_intents', turned, { key }), first);
  });

  it('is bound to its parameters and its path', async () => {
    const first = await pay('pm_card_visa');
    const other = await pay('pm_card_visa', { amount: '1201' });
    expect(other.status).toBe(400);
    expect(other.body.error).toMatchObject({ type: 'idempotency_error' });
    const path = `/v1/payment_intents/${String(first.body.id)}/cancel`;
    const elsewhere = await post(sandbox, path, payment('pm_card_visa', test), { key });
    expect(elsewhere.status).toBe(400);
    expect(elsewhere.body.error).toMatchObject({
      type: 'idempotency_error',
      message: expect.stringContaining(`('/v1/payment_intents' vs '${path}')`),
    });
    expectReplay(await pay('pm_card_visa'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('stays unused if validation or authentication fails', async () => {
    expect((await pay('pm_card_visa', { amount: 'x' })).status).toBe(400);
    expect((await pay('pm_unknown')).status).toBe(400);
    const missing = await post(sandbox, '/v1/payment_intents/pi_missing/cancel', {}, { key });
    expect(missing.status).toBe(404);
    const stranger = { key, headers: { authorization: 'Bearer sk_live_x' } };
    const form = payment('pm_card_visa', test);
    expect((await post(sandbox, '/v1/payment_intents', form, stranger)).status).toBe(401);
    const good = await pay('pm_card_visa');
    expect(good.status).toBe(200);
    expect(good.headers.get('idempotent-replayed')).toBeNull();
  });

  it('answers before validation once it is used', async () => {
    await pay('pm_card_visa');
    const broken = await pay('pm_card_visa', { amount: 'x' });
    expect(broken.body.error).toMatchObject({ type: 'idempotency_error' });
  });

  it('is the same for every API key, and case matters', async () => {
    const first = await pay('pm_card_visa');
    const form = payment('pm_card_visa', test);
    const headers = { authorization: 'Bearer sk_test_another' };
    expectReplay(await post(sandbox, '/v1/payment_intents', form, { key, headers }), first);
    await post(sandbox, '/v1/payment_intents', form, { key: key.toUpperCase() });
    expect(await countPaid(test)).toBe(2);
  });

  it('charges once for twenty concurrent requests', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => pay('pm_card_visa')));
    const answered = replies.filter(({ status }) => status === 200);
    const inUse = replies.filter(({ status }) => status === 409);
    expect(answered.length + inUse.length).toBe(20);
    expect(new Set(answered.map((reply) => reply.text)).size).toBe(1);
    for (const { body } of inUse) expect(body.error?.code).toBe('idempotency_key_in_use');
    expect(await countPaid(test)).toBe(1);
  });

  it('may have 255 characters, not 256, and must not be empty', async () => {
    for (const [length, status] of [
      [255, 200],
      [256, 400],
      [0, 400],
    ] as const) {
      key = key.padEnd(length, 'x').slice(0, length);
      expect((await pay('pm_card_visa')).status).toBe(status);
    }
  });

  it('must not be sent in two header lines', async () => {
    const socket = connect(sandbox.port, '127.0.0.1');
    socket.end(
      'POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_x\r\n' +
        'Idempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n',
    );
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 [^]*exactly one Idempotency-Key/);
  });
});

describe('the age of a key', () => {
  let brief: Sandbox;
  beforeAll(async () => {
    brief = await start({ keyTtlSeconds: 60 });
  });
  afterAll(() => brief.close());

  it('makes it unused after its time to live, even before it is deleted', async () => {
    const form = payment('pm_card_visa', test);
    const send = (): Promise<Reply> => post(brief, '/v1/payment_intents', form, { key });
    const first = await send();
    expectReplay(await send(), first);
    await age(key, 61);
    const late = await send();
    expect(late.status).toBe(200);
    expect(late.text).not.toBe(first.text);
    expect(late.headers.get('idempotent-replayed')).toBeNull();
    expect(await countPaid(test)).toBe(2);
  });
});

async function age(oldKey: string, seconds: number): Promise<void> {
  await sql(
    `UPDATE sandbox.idempotency_keys
     SET stored_at = stored_at - make_interval(secs => $2) WHERE key = $1`,
    [oldKey, seconds],
  );
}
