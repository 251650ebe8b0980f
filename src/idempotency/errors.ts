import {
  QueryFailedError,
  QueryRunnerAlreadyReleasedError,
  QueryRunnerProviderAlreadyReleasedError,
} from 'typeorm';
import {
  DATABASE_UNAVAILABLE,
  IDEMPOTENCY_KEY_EXPIRED,
  IDEMPOTENCY_KEY_INVALID,
  IDEMPOTENCY_KEY_MISSING,
  IDEMPOTENCY_KEY_REUSED,
  IDEMPOTENCY_REQUEST_IN_PROGRESS,
  NOT_FOUND,
  OUTCOME_UNKNOWN,
  type ProblemType,
  type Retry,
} from './problem-types.js';

/** The object that the error is about, as a link that the client can follow. */
export interface ResourceLink {
  object: string;
  id: string;
  url: string;
}

/**
 * The engine's errors have the fields of an RFC 9457 problem, but do not depend on the application's error format. The
 * application's exception filter reads `status`, `code`, `retry`, `title`, `extensions` and `headers`.
 */
export abstract class IdempotencyError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retry: Retry;
  readonly title: string;
  readonly extensions: Record<string, unknown> = {};
  readonly headers: Record<string, string> = {};

  constructor({ status, code, retry, title }: ProblemType, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.status = status;
    this.code = code;
    this.retry = retry;
    this.title = title;
  }
}

export class IdempotencyKeyMissing extends IdempotencyError {
  constructor() {
    super(
      IDEMPOTENCY_KEY_MISSING,
      'This operation needs an Idempotency-Key header: one key per intent, reused by every retry of it.',
    );
  }
}

export class IdempotencyKeyInvalid extends IdempotencyError {
  constructor(detail: string) {
    super(IDEMPOTENCY_KEY_INVALID, detail);
  }
}

/** The key already names another intent. `mismatched` holds JSON Pointers of members, never values. */
export class IdempotencyKeyReused extends IdempotencyError {
  override readonly extensions: Record<string, unknown>;
  constructor(what: string, mismatched: string[]) {
    super(
      IDEMPOTENCY_KEY_REUSED,
      `This key was first used ${what}. What it created still exists: look it up with GET /idempotency-keys/{key}.`,
    );
    this.extensions = { mismatched };
  }
}

export class IdempotencyRequestInProgress extends IdempotencyError {
  override readonly headers = { 'Retry-After': '1' };
  constructor() {
    super(
      IDEMPOTENCY_REQUEST_IN_PROGRESS,
      'The first request with this key has no outcome yet. Send the same request again with the same key.',
    );
  }
}

/** The stored answer has expired, but the object exists: nothing may be created again under this key. */
export class IdempotencyKeyExpired extends IdempotencyError {
  override readonly extensions: Record<string, unknown>;
  constructor(resource: ResourceLink & { failed: boolean }) {
    super(
      { ...IDEMPOTENCY_KEY_EXPIRED, retry: resource.failed ? 'new_key' : 'no' },
      'The answer stored for this key has expired, but what it created still exists: see `resource`.',
    );
    const { object, id, url } = resource;
    this.extensions = { resource: { object, id, url } };
  }
}

/** A lookup found neither a record nor an object under the key. */
export class IdempotencyKeyUnknown extends IdempotencyError {
  constructor() {
    super(
      { ...NOT_FOUND, retry: 'after_fix' },
      'Nothing with this key has taken effect so far, but a request that is still on its way may do so. ' +
        'Send the same request with the same key, never with a new key.',
    );
  }
}

/** The database was unreachable before the reserve was sent, or rolled the reserve back: this request had no effect. */
export class DatabaseUnavailable extends IdempotencyError {
  override readonly headers = { 'Retry-After': '1' };
  constructor(options?: ErrorOptions) {
    super(
      DATABASE_UNAVAILABLE,
      'The database could not be reached. This request did nothing.',
      options,
    );
  }
}

/**
 * The connection was lost after the reserve was sent, and not restored in time: we do not know what was committed.
 */
export class OutcomeUnknown extends IdempotencyError {
  override readonly headers = { 'Retry-After': '1' };
  constructor(options?: ErrorOptions) {
    super(
      OUTCOME_UNKNOWN,
      'The database was lost while this request ran: it may have taken effect. Send it again with the same key.',
      options,
    );
  }
}

/**
 * The application mounts the engine wrongly. Thrown by boot-check.ts and idempotency.module.ts. The message is one
 * line, for the developer.
 */
export class IdempotencyMisconfigured extends Error {
  override readonly name = 'IdempotencyMisconfigured';
}

/**
 * A reserve throws this when it loses a race: its object already exists under the derived id (the key was used
 * before), or a row that it read changed before it wrote. The engine rolls back and reads the key again.
 */
export class ReserveRaced extends Error {}

/**
 * No connection could be opened, for any reason: network, login, limits, an unfit server. No statement was sent. The
 * pool's client throws it, because SQLSTATE alone does not distinguish a refused login from a failed statement.
 */
export class NoConnection extends Error {
  /** The cause's code, as `pg` reports it. */
  readonly code?: string;
  constructor(cause: unknown) {
    const { message, code } = cause as { message?: string; code?: string };
    super(message || code || 'no connection', { cause });
    this.code = code;
  }
}

const LOST_NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
]);
const LOST_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|not queryable|connection ended|query read timeout|driver not connected|client was closed/i;

/**
 * True when the connection was lost, so that we do not know whether the last statement took effect. Source: appendix A
 * of the PostgreSQL manual, SQLSTATE classes 08 and 28, 57P, 25P03 and 25P04 (the session's limits), 3D000 (no such
 * database), 53300 (too many connections). The messages come from `pg`.
 *
 * TypeORM drops a connection that ends between two statements of a transaction. It then refuses the next statement,
 * COMMIT included, with its own errors. Proof: test/guarantees/database-dies.spec.ts.
 */
export function isConnectionLost(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (!(cause instanceof Error)) return false;
  if (cause instanceof NoConnection) return true;
  if (cause instanceof QueryRunnerAlreadyReleasedError) return true;
  if (cause instanceof QueryRunnerProviderAlreadyReleasedError) return true;
  if (cause instanceof AggregateError) return cause.errors.some(isConnectionLost);
  const code = (cause as { code?: string }).code ?? '';
  return (
    LOST_NETWORK.has(code) ||
    /^(08...|28...|3D000|57P0[1-5]|25P0[34]|53300)$/.test(code) ||
    (code === '' && LOST_MESSAGES.test(cause.message))
  );
}

/**
 * Whether the lost statement may have reached the server. False only for errors that occur while a connection is
 * made: the pool's timeout, a refused login, no route.
 */
export function wasSent(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (!(cause instanceof Error) || cause instanceof NoConnection) return false;
  if (cause instanceof AggregateError) return cause.errors.some(wasSent); // a host with several addresses
  const code = (cause as { code?: string }).code ?? '';
  return !(
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|28...|3D000|53300|57P03)$/.test(code) ||
    /timeout exceeded when trying to connect/.test(cause.message)
  );
}

/** Another row already has this value of a unique constraint (SQLSTATE 23505). */
export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === '23505';
}

/**
 * True when PostgreSQL itself rolled the transaction back for a transient reason: timeouts (57014, 55P03), deadlock and
 * serialisation (40P01, 40001), resources (class 53, except a refused connection), a read-only standby (25006), or a
 * prepared statement that is stale after a change of session or schema (26000, 0A000 from its check).
 */
export function isRolledBack(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (!(cause instanceof Error)) return false;
  const { code, routine } = cause as { code?: unknown; routine?: unknown };
  return (
    /^(57014|55P03|40P01|40001|25006|26000|53(?!300)...)$/.test(String(code)) ||
    routine === 'RevalidateCachedQuery'
  );
}

/** PostgreSQL refused the write because the session is read-only. Another session may be able to write. */
export function isReadOnly(error: unknown): boolean {
  return sqlStateOf(error) === '25006';
}

/** The connection was lost, or PostgreSQL rolled back for a transient reason: the same work may be tried again. */
export function isTransient(error: unknown): boolean {
  return isConnectionLost(error) || isRolledBack(error);
}

/** The SQLSTATE, if PostgreSQL reported the error; otherwise the error's own `code`, if any. */
export function sqlStateOf(error: unknown): string | undefined {
  return (driverErrorOf(error) as { code?: string } | undefined)?.code;
}

/** TypeORM wraps driver errors; `pg` does not. */
function driverErrorOf(error: unknown): unknown {
  return error instanceof QueryFailedError ? error.driverError : error;
}
