import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import pg from 'pg';
import { isTransient } from '../idempotency/errors.js';
import { poolOptions } from '../database/database.js';

/** SQLSTATE cannot_connect_now: graphile-worker retries it, up to a hundred times. */
const RETRYABLE = '57P03';

/**
 * The queue's own pool: some connections LISTEN, and a busy queue must not take connections from the sweep.
 *
 * If a connection is lost while graphile-worker completes a job, the library rejects a promise that no code handles.
 * That would end the process with all its work. So temporary errors, including a plan made stale by a schema change,
 * get a code that the library retries.
 */
export function openQueuePool(databaseUrl: string, max: number): pg.Pool {
  const log = new Logger('JobQueue');
  const pool = new pg.Pool({
    ...poolOptions(databaseUrl),
    max,
    application_name: 'charge-once jobs',
  });
  pool.on('error', (error) => log.warn('the queue lost a connection', error));
  pool.on('connect', (client) => {
    client.on('error', () => {}); // the pool logs it, above
    client.query = asRetryable(client.query.bind(client));
  });
  pool.connect = asRetryable(pool.connect.bind(pool));
  return pool;
}

/** Waits for the queue's last writes: at the end of a job, the library does not wait for them. */
export async function untilIdle(pool: pg.Pool): Promise<void> {
  while (pool.waitingCount > 0 || pool.idleCount < pool.totalCount) await delay(10);
}

/**
 * Wraps a function: if its promise rejects with a temporary error, the error gets a code that graphile-worker retries.
 */
function asRetryable<F extends (...args: never[]) => unknown>(call: F): F {
  return ((...args: Parameters<F>) => {
    const result = call(...args);
    return result instanceof Promise ? result.catch(rejectAsRetryable) : result;
  }) as F;
}

function rejectAsRetryable(error: unknown): never {
  if (!isTransient(error)) throw error;
  const { message } = error as Error;
  throw Object.assign(new Error(message, { cause: error }), { code: RETRYABLE });
}
