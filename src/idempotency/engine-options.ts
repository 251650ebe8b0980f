import type { Answer } from './operation.js';

export const ENGINE_OPTIONS = Symbol('ENGINE_OPTIONS');

/**
 * The part of the lease, in ms, that is reserved for settling after the outside calls. With less, another process
 * could take over before a live attempt has settled.
 */
export const SETTLE_MS = 2_000;

export interface EngineOptions {
  /** How long a duplicate waits for the first answer, in ms, unless the client sets it with `Prefer: wait`. */
  waitMs: number;
  /** How long a stored answer is kept after completion, in seconds. */
  ttlSeconds: number;
  /**
   * How long an attempt may run before another process takes over, in ms: the deadline of its outside calls plus
   * `SETTLE_MS`. During those calls only `perform` itself extends it.
   */
  leaseMs: number;
  /** How often expired records are removed, in ms. This affects only disk space. */
  reapIntervalMs: number;
  /** How many attempts of the sweep may fail on a record through our own fault before a person must act. */
  maxFailures?: number;
  /** The statuses that may be stored and replayed; 2xx by default. An answer with another status becomes a 500. */
  isFinal?: (status: number) => boolean;
  /** How a request waits before it reads a record again that another request holds. A timer by default. */
  pause?: (ms: number) => Promise<void>;
}

const isSuccess = (status: number) => status >= 200 && status <= 299;

/** @throws Error, which rolls back the transaction that stores the answer. */
export function requireFinal(
  { status }: Answer,
  operation: string,
  { isFinal = isSuccess }: EngineOptions,
): void {
  if (!isFinal(status)) throw new Error(`${operation} answers ${status}, which is not final`);
}
