import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger, paymentsAtProcessor, paymentsOf } from '../support/books.js';
import { charge, getCharge, type Reply } from '../support/raw-client.js';
import { expectPromisesKept, forgetPromises, hear } from '../support/retry-promise.js';
import { startStack, type Stack } from '../support/stack.js';
import { PATIENCE_MS, until } from '../support/until.js';

/**
 * A client that knows only `retry` and obeys it, during a storm of lost requests, lost answers, processor faults and
 * kills of the API. STORM_SEED=<number> repeats a storm's choices; `npm run storm` runs a longer one.
 */
const SEED = Number(process.env.STORM_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 4;
/** In ms. Later, a client starts a purchase only if it has made fewer than two. It finishes what it has started. */
const STORM_MS = Number(process.env.STORM_SECONDS ?? 8) * 1000;

const METHODS = [
  'pm_card_visa',
  'pm_card_mastercard',
  'pm_card_visa_chargeDeclined',
  'pm_card_visa_chargeDeclinedInsufficientFunds',
  'pm_lab_response_lost',
  'pm_lab_timeout',
  'pm_lab_unavailable_once',
  'pm_lab_error_after_charge',
];
const FAULTS = ['lose-request', 'lose-request', 'lose-response', 'lose-response', 'lose-response'];
const CRASHES = [
  'crash-before-reserve',
  'crash-after-reserve',
  'crash-after-processor',
  'crash-after-settle',
];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { PROCESSOR_TIMEOUT_MS: '1000' } });
});
afterAll(async () => {
  await stack.stop();
});

/** mulberry32: small, fast, and deterministic for a seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('the check that every test file applies to its answers', () => {
  const judge = (...answers: [status: number, body: Record<string, unknown>][]) => {
    for (const [status, body] of answers) {
      const headers = body.retry === 'same_key' ? { 'retry-after': '1' } : {};
      hear('http://api/charges', 'key', {}, { status, headers, body, text: JSON.stringify(body) });
    }
    return () => {
      try {
        expectPromisesKept(new Set(['ch_paid']));
      } finally {
        forgetPromises();
      }
    };
  };
  const PAID = { id: 'ch_paid' };

  test('passes if all promises are kept', () => {
    const failed = { retry: 'new_key', charge: 'ch_failed' };
    expect(judge([503, { retry: 'same_key' }], [201, PAID], [201, PAID])).not.toThrow();
    expect(judge([402, failed], [402, failed])).not.toThrow();
  });
  test('fails for a new key while the charge was taken', () => {
    expect(judge([402, { retry: 'new_key', charge: 'ch_paid' }])).toThrow();
    expect(judge([409, { retry: 'new_key' }], [201, PAID])).toThrow();
  });
  test('fails for two outcomes of one request', () => {
    expect(judge([201, PAID], [201, { ...PAID, amount: 1 }])).toThrow();
    expect(judge([402, { retry: 'new_key' }], [201, { id: 'ch_other' }])).toThrow();
  });
  test('fails for a `same_key` without Retry-After, with or without a key', () => {
    const body = { retry: 'same_key' };
    for (const key of ['key', undefined]) {
      hear('http://api/charges', key, {}, { status: 500, headers: {}, body, text: '{}' });
      expect(judge()).toThrow();
    }
    expect(judge([500, body])).not.toThrow();
  });
  test('fails for a final refusal that later became a success', () => {
    expect(judge([409, { retry: 'no' }], [201, PAID])).toThrow();
  });
});

interface Purchase {
  key: string;
  amount: number;
  method: string;
  deliveries: number;
  end: Reply;
}

test(`a client that obeys only retry pays each purchase once or not at all (STORM_SEED=${SEED})`, async () => {
  const stormEnds = performance.now() + STORM_MS;
  const purchases = (
    await Promise.all(
      Array.from({ length: CLIENTS }, (_, i) =>
        client(`${SEED} ${i}`, randomFrom(SEED + i), stormEnds),
      ),
    )
  ).flat();
  expect(purchases.length).toBeGreaterThan(CLIENTS);
  await everythingEnded();

  for (const { key, amount, method, end } of purchases) {
    const id = end.status === 201 ? end.body.id : end.body.charge;
    const paid = await paymentsOf(stack.sandboxUrl, id);
    const about = { key, method, status: end.status };
    expect({ ...about, paid: paid.map((payment) => payment.amount) }).toEqual({
      ...about,
      paid: end.status === 201 ? [amount] : [],
    });
    // Every later request with the key gets the same outcome.
    const again = await charge(stack.apiUrl, key, { amount, payment_method: method });
    expect({ ...about, text: again.text }).toEqual({ ...about, text: end.text });
  }
  const succeeded = await paymentsAtProcessor(stack.sandboxUrl);
  expect(succeeded).toHaveLength(purchases.filter(({ end }) => end.status === 201).length);
  await expectCleanBooks(stack);
});

/** Purchases in sequence, each with its own key. */
async function client(name: string, random: () => number, until: number): Promise<Purchase[]> {
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!;
  const made: Purchase[] = [];
  while (performance.now() < until || made.length < 2) {
    const key = `${name} ${made.length}`;
    const amount = 100 + Math.floor(random() * 9_000);
    const method = pick(METHODS);
    for (let deliveries = 1; ; deliveries++) {
      const roll = random();
      const fault = roll < 0.35 ? pick(FAULTS) : roll < 0.41 ? pick(CRASHES) : undefined;
      const headers = fault && performance.now() < until ? { 'lab-fault': fault } : {};
      const body = { amount, payment_method: method };
      // A broken connection is treated like `same_key`.
      const reply = await charge(stack.apiUrl, key, body, { headers }).catch(() => undefined);
      const again = reply === undefined || reply.body.retry === 'same_key';
      if (!again) {
        expect([201, 402]).toContain(reply.status);
        made.push({ key, amount, method, deliveries, end: reply });
        break;
      }
      if (performance.now() > until + PATIENCE_MS)
        // it counts as stuck
        throw new Error(`${key} never ends: ${reply?.text}`);
      await delay(50);
    }
  }
  return made;
}

/** The worker finishes requests whose client has not retried. */
async function everythingEnded(): Promise<void> {
  await until(async () => {
    const entries = await ledger(stack.sandboxUrl);
    const ids = new Set(entries.map(({ metadata }) => metadata.charge ?? ''));
    const charges = await Promise.all([...ids].map((id) => getCharge(stack.apiUrl, id)));
    return charges.every(({ body }) => body.status !== 'pending');
  });
}
