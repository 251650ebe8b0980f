import { randomUUID } from 'node:crypto';
import { Completer } from '../../../src/idempotency/completer.js';
import type { Queryable } from '../../../src/idempotency/database.js';
import type { EngineOptions } from '../../../src/idempotency/engine-options.js';
import { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import {
  type Answer,
  type EngineProbe,
  OperationRegistry,
  SilentProbe,
  type Operation,
} from '../../../src/idempotency/operation.js';
import type { KeyedRequest } from '../../../src/idempotency/record.entity.js';
import { openFreshDatabase } from '../../support/open-database.js';

/** The answer of an operation that succeeds. */
export const DONE: Answer = { status: 201, headers: {}, body: 'done' };

/** A client's request with this key, as the interceptor passes it to the engine. */
export const requestFor = (
  accountId: string,
  key: string,
  operation = 'POST /things',
): KeyedRequest => ({
  accountId,
  key,
  operation,
  id: `th_${key}`,
  fingerprint: Buffer.from(key),
  members: {},
  requestId: `req_${randomUUID()}`,
});

/** Completes the record as another attempt does. */
export const complete = (
  on: Queryable,
  key: string,
  { body = DONE.body, expiresIn = '1 day' } = {},
) =>
  on.query(
    `UPDATE idempotency_records SET state = 'completed', completed_at = now(), lease_expires_at = NULL,
       expires_at = now() + $2::interval, response_status = 201, response_headers = '{}', response_body = $3
     WHERE key = $1`,
    [key, expiresIn, body],
  );

/** How many statements wait for a lock. */
export async function statementsThatWait(db: Queryable): Promise<number> {
  const rows = await db.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

/** The engine alone: without HTTP, Nest and loops, on its own database, with one operation. */
export async function engineAlone(operation: Operation, poolSize?: number) {
  const { db, close } = await openFreshDatabase(poolSize);
  const operations = new OperationRegistry();
  operations.register(operation);
  return {
    db,
    operations,
    close,
    start(options: EngineOptions, probe: EngineProbe = new SilentProbe()) {
      const completer = new Completer(db, operations, probe, options);
      const engine = new IdempotencyEngine(db, operations, completer, probe, options);
      return { engine, completer };
    },
  };
}
