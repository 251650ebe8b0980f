import type { Request, RequestHandler, Response } from 'express';
import type pg from 'pg';
import { inTransaction, type Tx } from '../ledger.schema.js';
import type { Misbehaviour } from '../payment-methods.table.js';
import { Params } from './form.params.js';
import {
  type Attempt,
  claim,
  freeRunning,
  lockRunning,
  type Stored,
  write,
} from './idempotency.store.js';
import { errorBody, invalidRequest, rateLimited } from './stripe.errors.js';

/**
 * Stripe's idempotency (docs.stripe.com/api/idempotent_requests): the answer is stored under the key in the same
 * transaction that moves the money, so neither exists without the other.
 *
 * A key is in use in two cases:
 * - A transaction works on it: the transaction holds an advisory lock. PostgreSQL releases it when the connection
 *   closes, so a killed process leaves nothing behind.
 * - A slow request waits without a transaction: a row `running` has a lease. If the process is killed, the key is
 *   blocked until the lease ends, a few seconds later. Then the next request takes over the row. If the old process
 *   was only suspended, it finds another request id in the row and writes nothing.
 */
export interface IdempotencyOptions {
  pool: pg.Pool;
  keyTtlSeconds: number;
  /** How long `slow` takes, in milliseconds. */
  slowMs: number;
  /** The wait function of `slow`. */
  sleep: (ms: number) => Promise<unknown>;
  /** Responses that are never sent; `close` closes their connections. */
  held: Set<Response>;
}

/** An outcome: stored under the key, whatever its status is. */
export interface Answer {
  status: number;
  body: object;
}

/** What a POST will do, decided before anything is written. */
export interface Work {
  misbehaviour: Misbehaviour;
  /** Takes effect at most once while the key is remembered. The returned answer is stored; an error is not. */
  run(tx: Tx): Promise<Answer>;
}

/** Validates and reads. If it throws, the key stays unused. */
export type Plan = (tx: Tx, params: Params, path: Record<string, string>) => Promise<Work>;

type Begun =
  | { next: 'refuse' }
  | { next: 'replay'; stored: Stored }
  | { next: 'answer'; work: Work; stored: Stored }
  | { next: 'execute'; work: Work };

// A longer margin only blocks the key longer after a kill. With a shorter one, a duplicate could take over from a
// process that is merely busy. That costs an answer, not money.
const LEASE_MARGIN_MS = 2_000;

const KEY_MAX_CHARACTERS = 255;

/** Creates the handler of a POST from a plan. The body has already been read as text. */
export function idempotent(options: IdempotencyOptions, plan: Plan): RequestHandler {
  return async (req, res) => {
    const params = Params.parse(typeof req.body === 'string' ? req.body : '');
    const attempt: Attempt = {
      key: readKey(req),
      requestId: String(res.getHeader('Request-Id')),
      endpoint: req.originalUrl.split('?', 1)[0] ?? '',
      fingerprint: params.fingerprint(),
    };

    const begun = await begin(options, attempt, (tx) =>
      plan(tx, params, req.params as Record<string, string>),
    );
    if (begun.next === 'refuse') throw rateLimited();
    if (begun.next === 'replay') return send(res, attempt, begun.stored);
    const stored =
      begun.next === 'answer' ? begun.stored : await executeLater(options, attempt, begun.work);
    // The payment and its answer are committed: a crash from here on loses only the response.
    switch (begun.work.misbehaviour) {
      case 'response_lost':
        res.destroy();
        return;
      case 'timeout':
        if (res.closed) return;
        options.held.add(res);
        res.once('close', () => options.held.delete(res));
        return;
      case 'none':
      case 'unavailable_once':
      case 'error_after_charge':
      case 'slow':
        return send(res, attempt, stored);
    }
  };
}

/** Decides by the key, and answers immediately unless the work is slow. */
function begin(
  { pool, slowMs, keyTtlSeconds }: IdempotencyOptions,
  attempt: Attempt,
  plan: (tx: Tx) => Promise<Work>,
): Promise<Begun> {
  return inTransaction(pool, async (tx): Promise<Begun> => {
    const earlier = await claim(tx, attempt, keyTtlSeconds);
    if (earlier.state === 'completed') return { next: 'replay', stored: earlier.stored };
    const work = await plan(tx);
    if (work.misbehaviour === 'unavailable_once' && earlier.state === 'unseen') {
      await write(tx, attempt, 'refused');
      return { next: 'refuse' };
    }
    if (work.misbehaviour === 'slow') {
      await write(tx, attempt, 'running', { leaseMs: slowMs + LEASE_MARGIN_MS });
      return { next: 'execute', work };
    }
    return { next: 'answer', work, stored: await execute(tx, attempt, work) };
  });
}

/** Runs the work and stores its answer, in the caller's transaction. */
async function execute(tx: Tx, attempt: Attempt, work: Work): Promise<Stored> {
  const outcome = await work.run(tx);
  const answer = work.misbehaviour === 'error_after_charge' ? API_ERROR : outcome;
  const body = JSON.stringify(answer.body, null, 2);
  await write(tx, attempt, 'completed', { status: answer.status, body });
  return { status: answer.status, body, requestId: attempt.requestId };
}

/** Like `execute`, after a wait that holds no connection and no transaction. */
async function executeLater(
  { pool, slowMs, sleep }: IdempotencyOptions,
  attempt: Attempt,
  work: Work,
): Promise<Stored> {
  await sleep(slowMs);
  try {
    return await inTransaction(pool, async (tx) => {
      await lockRunning(tx, attempt);
      return execute(tx, attempt, work);
    });
  } catch (error) {
    // Nothing happened, so release the key immediately. If this fails too, the lease releases it.
    await freeRunning(pool, attempt).catch(() => undefined);
    throw error;
  }
}

const API_ERROR: Answer = {
  status: 500,
  body: errorBody({
    type: 'api_error',
    message: 'An unknown error occurred. The sandbox fails on purpose after it has charged.',
  }),
};

function send(res: Response, attempt: Attempt, stored: Stored): void {
  if (attempt.key !== undefined) {
    res.setHeader('Idempotency-Key', attempt.key);
    res.setHeader('Original-Request', stored.requestId);
    if (stored.requestId !== attempt.requestId) res.setHeader('Idempotent-Replayed', 'true');
  }
  res.status(stored.status).type('json').end(stored.body);
}

function readKey(req: Request): string | undefined {
  const lines = req.headersDistinct['idempotency-key'];
  if (!lines) return undefined;
  const [key] = lines;
  // Node joins repeated header lines with a comma, which would look like one key. So count the lines.
  if (lines.length > 1 || !key) {
    throw invalidRequest('Send exactly one Idempotency-Key, and not an empty one.');
  }
  if (key.length > KEY_MAX_CHARACTERS) {
    throw invalidRequest(`Idempotency-Key must be at most ${KEY_MAX_CHARACTERS} characters.`);
  }
  return key;
}
