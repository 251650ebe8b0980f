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

/** What stands in the way, as a link that the client can follow. */
export interface ResourceLink {
  object: string;
  id: string;
  url: string;
}

/**
 * The engine's errors are facts with the fields of an RFC 9457 problem. They know nothing of the
 * application's error format: its exception filter reads `status`, `code`, `retry`, `title`, `extensions`, `headers`.
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
      `This key was first used ${what}. What it made still stands: look it up with GET /idempotency-keys/{key}.`,
    );
    this.extensions = { mismatched };
  }
}

export class IdempotencyRequestInProgress extends IdempotencyError {
  override readonly headers = { 'Retry-After': '1' };
  constructor() {
    super(
      IDEMPOTENCY_REQUEST_IN_PROGRESS,
      'The first request with this key is still running. Send the same request again with the same key.',
    );
  }
}

/** The stored answer is gone, the object made with the key stands: nothing may be made again under it. */
export class IdempotencyKeyExpired extends IdempotencyError {
  override readonly extensions: Record<string, unknown>;
  constructor(resource: ResourceLink & { failed: boolean }) {
    super(
      { ...IDEMPOTENCY_KEY_EXPIRED, retry: resource.failed ? 'new_key' : 'no' },
      'The answer stored for this key has expired, but what the key made is still there: see `resource`.',
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
      'Nothing with this key has taken effect so far, which does not mean that nothing will. ' +
        'The next step is the same request with the same key, never a new key.',
    );
  }
}

/** The database was lost before the reserve was sent: this request did nothing. */
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

/** The database was lost after the reserve had been sent, and stayed away: whether it committed is not known. */
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
 * The application around the engine is put together wrongly: boot-check.ts, idempotency.module.ts. One line, for the
 * developer.
 */
export class IdempotencyMisconfigured extends Error {
  override readonly name = 'IdempotencyMisconfigured';
}

/**
 * A reserve throws this when it lost a race: its object exists already under the derived id (the key was used
 * before), or what it read has changed before it wrote. Everything is undone, and the key is looked at again.
 */
export class ReserveRaced extends Error {}

/**
 * No connection could be had, for whatever reason: network, login, limits, an unfit server. Nothing was sent by it. A
 * pool's client throws it, because the SQLSTATEs of a refused login are not told from a statement's by themselves.
 */
export class NoConnection extends Error {
  /** Of the cause, as `pg` has it. */
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
 * True when the connection went away, so that it is not known whether the last statement took effect.
 * Source: SQLSTATE classes 08, 28 (the login is refused) and 57P, appendix A of the PostgreSQL manual; the messages are
 * `pg`'s own.
 *
 * TypeORM lets go of a connection that ends between two statements of a transaction, and then refuses the next one,
 * the COMMIT included, with errors of its own. Proof: test/guarantees/database-dies.spec.ts.
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
 * Whether the lost statement may have reached the server. False for what can only fail while a connection is made: the
 * pool's timeout, a refused login, no route. For a lost connection that is none of these, nobody knows.
 */
export function wasSent(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (!(cause instanceof Error) || cause instanceof NoConnection) return false;
  if (cause instanceof AggregateError) return cause.errors.some(wasSent); // of a host with several addresses
  const code = (cause as { code?: string }).code ?? '';
  return !(
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|28...|3D000|53300|57P03)$/.test(code) ||
    /timeout exceeded when trying to connect/.test(cause.message)
  );
}

/** Another row has the value of a unique constraint (SQLSTATE 23505). */
export function isUniqueViolation(error: unknown): boolean {
  return (driverErrorOf(error) as { code?: unknown } | undefined)?.code === '23505';
}

/**
 * True when PostgreSQL itself rolled the transaction back for a passing reason: timeouts (57014, 55P03),
 * deadlock and serialization (40P01, 40001), resources (class 53, without the connection that is refused), a standby
 * that is read-only (25006), a prepared statement that the session or the schema has outlived (26000, 0A000 of its
 * check).
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

/** The session, not the statement, is why PostgreSQL undid it: another session may write. */
export function isReadOnly(error: unknown): boolean {
  return (driverErrorOf(error) as { code?: unknown } | undefined)?.code === '25006';
}

/** The database went away or undid its work for a passing reason: the same may be tried again. */
export function isPassing(error: unknown): boolean {
  return isConnectionLost(error) || isRolledBack(error);
}

/** TypeORM wraps driver errors; `pg` does not. */
function driverErrorOf(error: unknown): unknown {
  return error instanceof QueryFailedError ? error.driverError : error;
}
