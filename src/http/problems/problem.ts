import type { IdempotencyError } from '../../idempotency/errors.js';
import { NOT_FOUND, type ProblemType, type Retry } from '../../idempotency/problem-types.js';
import { VALIDATION_FAILED } from './http.problems.js';

interface ProblemOptions {
  /** For a type with several values, for example `not_found`: `no` for a route, `after_fix` for an object. */
  retry?: Retry;
  extensions?: Record<string, unknown>;
  headers?: Record<string, string>;
  cause?: unknown;
}

/** An error as the client sees it. Throw it anywhere in a request; the filter writes it. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly retry: Retry;
  readonly title: string;
  readonly extensions: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(
    type: ProblemType,
    detail: string,
    { retry, extensions = {}, headers = {}, cause }: ProblemOptions = {},
  ) {
    super(detail, { cause });
    this.code = type.code;
    this.status = type.status;
    this.retry = retry ?? type.retry;
    this.title = type.title;
    this.extensions = extensions;
    this.headers = headers;
  }
}

/** One input that was refused. `pointer` is a JSON Pointer into the body, or names the query parameter or header. */
export interface InputError {
  pointer: string;
  detail: string;
}

export function validationFailed(errors: InputError[]): Problem {
  const first = errors[0];
  const detail =
    errors.length === 1 && first
      ? `${first.pointer || 'The request'}: ${first.detail}`
      : `${errors.length} values cannot be used: see \`errors\`.`;
  return new Problem(VALIDATION_FAILED, detail, { extensions: { errors } });
}

/** The same problem for an unknown id and for another account's, so that a client cannot distinguish them. */
export function objectNotFound(object: string): Problem {
  return new Problem(NOT_FOUND, `No such ${object}.`, { retry: 'after_fix' });
}

/**
 * The body of every 4xx and 5xx (RFC 9457), with its members in their fixed order: `detail` and the extensions vary,
 * the rest follows from the code.
 */
export function problemBody(problem: Problem | IdempotencyError, requestId: string): object {
  return {
    type: `/problems/${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    code: problem.code,
    request_id: requestId,
    retry: problem.retry,
    ...problem.extensions,
  };
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';
