import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../support/internals.js';
import { until } from '../support/until.js';
import {
  countPaid,
  endLease,
  expectReplay,
  onceUnlocked,
  payment,
  post,
  type Reply,
  sdk,
  SLOW_MS,
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

/** A new key, and a name for its payment. */
beforeEach(() => {
  test = randomUUID();
  key = `key-${test}`;
});

/** Processes of one test only, closed after it. */
const others: Sandbox[] = [];
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
});
function closing<S extends Sandbox>(other: S): S {
  others.push(other);
  return other;
}

const pay = (method: string): Promise<Reply> =>
  post(sandbox, '/v1/payment_intents', payment(method, test), { key });

describe('methods that misbehave', () => {
  it('pm_lab_response_lost charges, drops the connection, and replays', async () => {
    await expect(pay('pm_lab_response_lost')).rejects.toThrow();
    expect(await countPaid(test)).toBe(1);
    const repeat = await pay('pm_lab_response_lost');
    expect(repeat.body).toMatchObject({ status: 'succeeded' });
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_response_lost is handled by the SDK, whose own retry has the same key', async () => {
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

  it('pm_lab_unavailable_once refuses once, even if another process answers next', async () => {
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
    for (let i = 0; i < 2; i++) {
      const form = payment('pm_lab_unavailable_once', test);
      expect((await post(sandbox, '/v1/payment_intents', form)).status).toBe(429);
    }
    expect(await countPaid(test)).toBe(0);
  });

  it('pm_lab_error_after_charge charges, and its 500 is always replayed', async () => {
    const first = await pay('pm_lab_error_after_charge');
    expect(first.status).toBe(500);
    expect(first.body.error).toMatchObject({ type: 'api_error' });
    expectReplay(await pay('pm_lab_error_after_charge'), first);
    expect(await countPaid(test)).toBe(1);
  });

  it('pm_lab_slow keeps its key in use and charges at the end', async () => {
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
    const begun = performance.now();
    expect((await pay('pm_lab_slow')).status).toBe(200);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(SLOW_MS);
  });

  it('pm_lab_slow holds no connection: other requests run beside thirty slow ones', async () => {
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
