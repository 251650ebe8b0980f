import type { Answer } from './operation.js';

export const ENGINE_OPTIONS = Symbol('ENGINE_OPTIONS');

/** Of the lease, what is kept for the database after the outside calls, in ms. Less, and an honest attempt is overtaken. */
export const SETTLE_MS = 2_000;

export interface EngineOptions {
  /** How long a duplicate waits for the first answer, in ms, unless the client says otherwise. */
  waitMs: number;
  /** How long a stored answer lives after completion, in seconds. */
  ttlSeconds: number;
  /**
   * How long an attempt counts as alive, in ms: the deadline of its outside calls and `SETTLE_MS`. While they run, only
   * `perform` itself extends it.
   */
  leaseMs: number;
  /** How often expired records are removed, in ms. Only disk space depends on it. */
  reapIntervalMs: number;
  /** How often the sweep may fail at a record by a fault of our own before it stops and a person must look. */
  maxFailures?: number;
  /** Which statuses may be stored and replayed; 2xx by default. An answer with another one rolls back and is a 500. */
  isFinal?: (status: number) => boolean;
}

const isSuccess = (status: number) => status >= 200 && status <= 299;

/** @throws Error, which rolls the transaction of the answer back. */
export function requireFinal(
  { status }: Answer,
  operation: string,
  { isFinal = isSuccess }: EngineOptions,
): void {
  if (!isFinal(status)) throw new Error(`${operation} answers ${status}, which is not final`);
}
