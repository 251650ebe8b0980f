import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import pg from 'pg';
import Stripe from 'stripe';
import {
  startSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../../src/sandbox/sandbox.server.js';
import { freshDatabase } from '../support/database.js';
import { until } from '../support/until.js';

/** The database of the ledger, for `start` and for the queries. */
export let databaseUrl = process.env.DATABASE_URL ?? '';

/** Switches to a ledger for this file only, without other files' events. @returns the function that drops it. */
export async function useFreshLedger(): Promise<() => Promise<void>> {
  const database = await freshDatabase();
  databaseUrl = database.url;
  return () => database.drop();
}

/** How long a slow payment takes. Short: use `startHeld` if something must happen meanwhile. */
export const SLOW_MS = 400;

export function start(options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  return startSandbox({ databaseUrl, port: 0, slowMs: SLOW_MS, ...options });
}

/**
 * Another sandbox, whose slow payments end when the test says so, not by a clock. Their leases are longer than any
 * test.
 */
export async function startHeld(): Promise<Sandbox & { endSlow(): void }> {
  let endSlow = (): void => undefined;
  const ended = new Promise<void>((resolve) => (endSlow = resolve));
  const sandbox = await start({ slowMs: 3_600_000, sleep: () => ended });
  const close = (): Promise<void> => {
    endSlow(); // a stop would wait for them
    return sandbox.close();
  };
  return { ...sandbox, endSlow, close };
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

/** A plain form POST, as a client without the SDK would send it. */
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

/** A confirmed payment of 12.00; `test` identifies it in the shared ledger. */
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

/** The succeeded payments of one test in the ledger. */
export async function countPaid(test: string): Promise<number> {
  const { rows } = await sql(
    `SELECT count(*)::int AS paid FROM sandbox.payment_intents
     WHERE metadata ->> 'test' = $1 AND status = 'succeeded'`,
    [test],
  );
  return rows[0].paid;
}

/** Resolves when the ledger has the keys: a request with each has started. */
export async function waitForKey(...keys: string[]): Promise<void> {
  await until(async () => {
    const known = 'SELECT 1 FROM sandbox.idempotency_keys WHERE key = ANY($1)';
    return (await sql(known, [keys])).rowCount === keys.length;
  });
}

/** Ends the lease of a running key. */
export async function endLease(key: string): Promise<void> {
  await sql('UPDATE sandbox.idempotency_keys SET lease_until = now() WHERE key = $1', [key]);
}

/**
 * Sends until the key is no longer in use. After a COMMIT whose answer is not yet read, others see the rows a moment
 * before its locks are released.
 */
export async function onceUnlocked(send: () => Promise<Reply>): Promise<Reply> {
  let reply: Reply | undefined;
  await until(async () => (reply = await send()).status !== 409);
  return reply!;
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

/** Fails unless the second reply is the first one, replayed. */
export function expectReplay(second: Reply, first: Reply): void {
  expect(second.status).toBe(first.status);
  expect(second.text).toBe(first.text);
  expect(first.headers.get('idempotent-replayed')).toBeNull();
  expect(second.headers.get('idempotent-replayed')).toBe('true');
  expect(second.headers.get('original-request')).toBe(first.headers.get('request-id'));
  expect(second.headers.get('request-id')).not.toBe(first.headers.get('request-id'));
}

/** @returns the reason of a rejection; fails if the promise is fulfilled. */
export async function errorOf(promise: Promise<unknown>): Promise<Stripe.errors.StripeError> {
  try {
    await promise;
  } catch (error) {
    return error as Stripe.errors.StripeError;
  }
  throw new Error('expected a rejection');
}
