import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import Stripe from 'stripe';
import {
  startSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../../src/sandbox/sandbox.server.js';

export const databaseUrl = process.env.DATABASE_URL ?? '';

/** Long enough to send a duplicate meanwhile, short enough for a test. */
export const SLOW_MS = 400;

export function start(options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  return startSandbox({ databaseUrl, port: 0, slowMs: SLOW_MS, ...options });
}

/** The official SDK, unmodified, as any project would point it at the sandbox. */
export function sdk(port: number, options: Stripe.StripeConfig = {}): Stripe {
  return new Stripe('sk_test_x', {
    host: '127.0.0.1',
    port,
    protocol: 'http',
    telemetry: false,
    maxNetworkRetries: 0,
    ...options,
  });
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  body: Record<string, never> & { error?: Record<string, unknown> };
}

/** A plain form POST, as somebody without the SDK would write it. */
export async function post(
  sandbox: { url: string },
  path: string,
  form: Record<string, string> | string,
  {
    key,
    headers,
    signal,
  }: { key?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Reply> {
  const response = await fetch(sandbox.url + path, {
    method: 'POST',
    headers: {
      authorization: 'Bearer sk_test_somebody',
      'content-type': 'application/x-www-form-urlencoded',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...headers,
    },
    body: typeof form === 'string' ? form : new URLSearchParams(form),
    signal,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

/** A confirmed payment of 12.00 in a test of its own, told apart in the shared ledger by `test`. */
export function payment(
  paymentMethod: string,
  test: string = randomUUID(),
): Record<string, string> {
  return {
    amount: '1200',
    currency: 'eur',
    payment_method: paymentMethod,
    confirm: 'true',
    'metadata[test]': test,
  };
}

/** What a customer paid: the payments of one test that succeeded, counted in the ledger. */
export async function countPaid(test: string): Promise<number> {
  const { rows } = await sql(
    `SELECT count(*)::int AS paid FROM sandbox.payment_intents
     WHERE metadata ->> 'test' = $1 AND status = 'succeeded'`,
    [test],
  );
  return rows[0].paid;
}

/** Returns as soon as the ledger knows the key: a request with it has begun. */
export async function waitForKey(key: string): Promise<void> {
  await waitFor(async () => {
    const { rowCount } = await sql('SELECT 1 FROM sandbox.idempotency_keys WHERE key = $1', [key]);
    return rowCount === 1;
  });
}

export async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('waited for ten seconds in vain');
    await sleep(20);
  }
}

export async function sql(statement: string, values: unknown[] = []): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return await client.query(statement, values);
  } finally {
    await client.end();
  }
}

/** What a rejected promise was rejected with; fails when it was not. */
export async function errorOf(promise: Promise<unknown>): Promise<Stripe.errors.StripeError> {
  try {
    await promise;
  } catch (error) {
    return error as Stripe.errors.StripeError;
  }
  throw new Error('expected a rejection');
}
