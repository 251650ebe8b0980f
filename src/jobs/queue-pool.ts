import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import pg from 'pg';
import { isTransient } from '../idempotency/errors.js';
import { connectionTarget } from '../database/connection-target.js';
import { POOL_OPTIONS } from '../database/database.js';

/** PostgreSQL's "not now" (cannot_connect_now): what graphile-worker tries again at, up to a hundred times. */
const NOT_NOW = '57P03';

/**
 * A pool of its own for the queue: it has connections that listen, and a busy queue takes none from the sweep.
 *
 * graphile-worker takes a connection that is lost while it completes a job for a fault and rejects a promise that
 * nobody holds, which ends the process with all that it has under way. So what passes by itself, a plan that a change
 * of the schema has made stale included, is told to it as NOT_NOW.
 */
export function openQueuePool(databaseUrl: string, max: number): pg.Pool {
  const log = new Logger('JobQueue');
  const pool = new pg.Pool({
    ...POOL_OPTIONS,
    ...connectionTarget(databaseUrl, POOL_OPTIONS.options),
    max,
    application_name: 'charge-once jobs',
  });
  pool.on('error', (error) => log.warn('the queue lost a connection', error));
  pool.on('connect', (client) => {
    client.on('error', () => {}); // told by the pool, above
    client.query = patiently(client.query.bind(client));
  });
  pool.connect = patiently(pool.connect.bind(pool));
  return pool;
}

/** Resolves when nobody uses the pool: the queue does not wait for what it writes at the end of a job. */
export async function untilIdle(pool: pg.Pool): Promise<void> {
  while (pool.waitingCount > 0 || pool.idleCount < pool.totalCount) await delay(10);
}

/** The same function; where it returns a promise, what will pass by itself is rejected as NOT_NOW. */
function patiently<F extends (...args: never[]) => unknown>(call: F): F {
  return ((...args: Parameters<F>) => {
    const result = call(...args);
    return result instanceof Promise ? result.catch(rejectAsNotNow) : result;
  }) as F;
}

function rejectAsNotNow(error: unknown): never {
  if (!isTransient(error)) throw error;
  const { message } = error as Error;
  throw Object.assign(new Error(message, { cause: error }), { code: NOT_NOW });
}
