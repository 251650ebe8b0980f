import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../support/internals.js';
import { until } from '../support/until.js';
import {
  countPaid,
  endLease,
  onceUnlocked,
  payment,
  post,
  type Reply,
  sdk,
  SLOW_MS,
  sql,
  start,
  startHeld,
  waitForKey,
} from './sandbox.support.js';

let sandbox: Sandbox;
let test: string;
let key: string;

beforeAll(async () => {
  sandbox = await start();
});
afterAll(() => sandbox.close());

/** Processes of one test only, closed after it. */
const others: Sandbox[] = [];
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
});
function closing<S extends Sandbox>(other: S): S {
  others.push(other);
  return other;
}

/** A new key, and a name for its payment. */
function fresh(): void {
  test = randomUUID();
  key = `key-${test}`;
}

const pay = (method: string, changes: Record<string, string> = {}): Promise<Reply> =>
  post(sandbox, '/v1/payment_intents', { ...payment(method, test), ...changes }, { key });

function expectReplay(second: Reply, first: Reply): void {
  expect(second.status).toBe(first.status);
  expect(second.text).toBe(first.text);
  expect(first.headers.get('idempotent-replayed')).toBeNull();
  expect(second.headers.get('idempotent-replayed')).toBe('true');
  expect(second.headers.get('original-request')).toBe(first.headers.get('request-id'));
  expect(second.headers.get('request-id')).not.toBe(first.headers.get('request-id'));
}

describe('a key', () => {
  it('answers a repeat with the stored answer, byte for byte, and charges once', async () => {
    fresh();
    const first = await pay('pm_card_visa');
    expect(first.status).toBe(200);
    expectReplay(await pay('pm_card_visa'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('charges again for a repeat without a key', async () => {
    fresh();
    for (let i = 0; i < 2; i++) {
      await post(sandbox, '/v1/payment_intents', payment('pm_card_visa', test));
    }
    expect(await countPaid(test)).toBe(2);
  });

  it('stores a decline like any outcome', async () => {
    fresh();
    const first = await pay('pm_card_visa_chargeDeclined');
    expect(first.status).toBe(402);
    expectReplay(await pay('pm_card_visa_chargeDeclined'), first);
  });

  it('ignores the order of the parameters', async () => {
    fresh();
    const first = await pay('pm_card_visa');
    const turned = Object.fromEntries(Object.entries(payment('pm_card_visa', test)).reverse());
    expectReplay(await post(sandbox, '/v1/payment_intents', turned, { key }), first);
  });

  it('is bound to its parameters and its path', async () => {
    fresh();
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
    fresh();
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
    fresh();
    await pay('pm_card_visa');
    const broken = await pay('pm_card_visa', { amount: 'x' });
    expect(broken.body.error).toMatchObject({ type: 'idempotency_error' });
  });

  it('is the same for every API key, and case matters', async () => {
    fresh();
    const first = await pay('pm_card_visa');
    const form = payment('pm_card_visa', test);
    const headers = { authorization: 'Bearer sk_test_another' };
    expectReplay(await post(sandbox, '/v1/payment_intents', form, { key, headers }), first);
    await post(sandbox, '/v1/payment_intents', form, { key: key.toUpperCase() });
    expect(await countPaid(test)).toBe(2);
  });

  it('charges once for twenty concurrent requests', async () => {
    fresh();
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
      fresh();
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
  it('makes it unused after its time to live, even before it is deleted', async () => {
    const brief = closing(await start({ keyTtlSeconds: 60 }));
    fresh();
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

describe('methods that misbehave', () => {
  it('pm_lab_response_lost charges, drops the connection, and replays', async () => {
    fresh();
    await expect(pay('pm_lab_response_lost')).rejects.toThrow();
    expect(await countPaid(test)).toBe(1);
    const repeat = await pay('pm_lab_response_lost');
    expect(repeat.body).toMatchObject({ status: 'succeeded' });
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_response_lost is handled by the SDK, whose own retry has the same key', async () => {
    fresh();
    const intent = await sdk(sandbox.port).paymentIntents.create({
      amount: 1200,
      currency: 'eur',
      payment_method: 'pm_lab_response_lost',
      confirm: true,
      metadata: { test },
    });
    expect(intent.status).toBe('succeeded');
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_timeout charges and never answers; the repeat is a replay', async () => {
    fresh();
    const form = payment('pm_lab_timeout', test);
    const patience = new AbortController();
    const { signal } = patience;
    const unanswered = expect(
      post(sandbox, '/v1/payment_intents', form, { key, signal }),
    ).rejects.toMatchObject({ name: 'AbortError' });
    await until(async () => (await countPaid(test)) === 1);
    const repeat = await onceUnlocked(() => pay('pm_lab_timeout'));
    expect(repeat.status).toBe(200);
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(await countPaid(test)).toBe(1);
    // An answer would have arrived before that of the repeat.
    patience.abort();
    await unanswered;
  });

  it('pm_lab_unavailable_once refuses once, also when another process answers next', async () => {
    fresh();
    const first = await pay('pm_lab_unavailable_once');
    expect(first.status).toBe(429);
    expect(first.body.error).toMatchObject({ code: 'rate_limit' });
    expect(await countPaid(test)).toBe(0);
    const other = closing(await start());
    const form = payment('pm_lab_unavailable_once', test);
    const second = await post(other, '/v1/payment_intents', form, { key });
    expect(second.status).toBe(200);
    expect(second.headers.get('idempotent-replayed')).toBeNull();
    expectReplay(await pay('pm_lab_unavailable_once'), second);
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_unavailable_once without a key is refused each time', async () => {
    fresh();
    for (let i = 0; i < 2; i++) {
      const form = payment('pm_lab_unavailable_once', test);
      expect((await post(sandbox, '/v1/payment_intents', form)).status).toBe(429);
    }
    expect(await countPaid(test)).toBe(0);
  });

  it('pm_lab_error_after_charge charges, and its 500 is always replayed', async () => {
    fresh();
    const first = await pay('pm_lab_error_after_charge');
    expect(first.status).toBe(500);
    expect(first.body.error).toMatchObject({ type: 'api_error' });
    expectReplay(await pay('pm_lab_error_after_charge'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_slow keeps its key in use and charges at the end', async () => {
    fresh();
    const held = closing(await startHeld());
    const form = payment('pm_lab_slow', test);
    const slow = post(held, '/v1/payment_intents', form, { key });
    await waitForKey(key);
    const duplicate = await pay('pm_lab_slow');
    expect(duplicate.status).toBe(409);
    expect(duplicate.body.error).toMatchObject({ code: 'idempotency_key_in_use' });
    expect(await countPaid(test)).toBe(0);
    held.endSlow();
    const first = await slow;
    expect(first.status).toBe(200);
    expectReplay(await pay('pm_lab_slow'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_slow answers after its delay', async () => {
    fresh();
    const begun = performance.now();
    expect((await pay('pm_lab_slow')).status).toBe(200);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(SLOW_MS);
  });

  it('pm_lab_slow holds no connection: other requests run beside thirty slow ones', async () => {
    fresh();
    const held = closing(await startHeld());
    const keys = Array.from({ length: 30 }, () => randomUUID());
    const slow = keys.map((each) =>
      post(held, '/v1/payment_intents', payment('pm_lab_slow', test), { key: each }),
    );
    await waitForKey(...keys); // all of them wait now
    const quick = await post(held, '/v1/payment_intents', payment('pm_card_visa', test));
    expect(quick.status).toBe(200);
    held.endSlow();
    for (const { status } of await Promise.all(slow)) expect(status).toBe(200);
    expect(await countPaid(test)).toBe(31);
  });

  it('pm_lab_slow writes nothing if its lease expired and another request took over', async () => {
    fresh();
    const held = closing(await startHeld());
    const form = payment('pm_lab_slow', test);
    const sleeper = post(held, '/v1/payment_intents', form, { key });
    await waitForKey(key);
    await endLease(key);
    const successor = await onceUnlocked(() => pay('pm_lab_slow'));
    expect(successor.status).toBe(200);
    held.endSlow();
    expect((await sleeper).status).toBe(409);
    expectReplay(await pay('pm_lab_slow'), successor);
    expect(await countPaid(test)).toBe(1);
  });

  it('a confirmation has the same faults as a creation', async () => {
    fresh();
    const form = { ...payment('pm_lab_response_lost', test), confirm: 'false' };
    const made = await post(sandbox, '/v1/payment_intents', form);
    expect(made.body).toMatchObject({ status: 'requires_confirmation' });
    const path = `/v1/payment_intents/${String(made.body.id)}/confirm`;
    await expect(post(sandbox, path, {}, { key })).rejects.toThrow();
    const repeat = await post(sandbox, path, {}, { key });
    expect(repeat.body).toMatchObject({ status: 'succeeded' });
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(await countPaid(test)).toBe(1);
  });
});

async function age(oldKey: string, seconds: number): Promise<void> {
  await sql(
    `UPDATE sandbox.idempotency_keys
     SET stored_at = stored_at - make_interval(secs => $2) WHERE key = $1`,
    [oldKey, seconds],
  );
}
