import { AsyncLocalStorage } from 'node:async_hooks';
import type { Request } from 'express';
import { LAB_ACCOUNT } from '../journal.js';

/** The run that a request belongs to, for all code that it causes in this process. */
export interface RunContext {
  account?: string;
  attempt?: number;
  fault?: string;
}

export const runContext = new AsyncLocalStorage<RunContext>();

/** The API keys of the lab name their account, so that a request has a run before its key is looked up. */
const LAB_API_KEY = /^Bearer +sk_test_(acct_lab[0-9a-v]+)_/i;
/** `Lab-Run: <run>.<attempt>`. */
const LAB_RUN = /^[\w-]{1,64}\.(\d{1,4})$/;

export function contextOf(request: Request): RunContext {
  const account = LAB_API_KEY.exec(request.headers.authorization ?? '')?.[1];
  const attempt = LAB_RUN.exec(String(request.headers['lab-run'] ?? ''))?.[1];
  return { ...(account && { account }), ...(attempt && { attempt: Number(attempt) }) };
}

/** The account of each object of a run, by id: a later call under such an id belongs to that run. */
const owners = new Map<string, string>();
const MAX_OWNERS = 10_000;
const OBJECT_ID = /^(?:ch|re|evt|we|ord)_\w+$/;

/** @returns the account of the run that the values belong to. */
export function accountIn(values: readonly unknown[]): string | undefined {
  return values.find(
    (value): value is string => typeof value === 'string' && LAB_ACCOUNT.test(value),
  );
}

export function rememberOwner(values: readonly unknown[], account: string): void {
  for (const value of values) {
    if (typeof value !== 'string' || !OBJECT_ID.test(value)) continue;
    owners.set(value, account);
    if (owners.size > MAX_OWNERS) owners.delete(owners.keys().next().value!);
  }
}

export function ownerOf(id: string | undefined): string | undefined {
  return id === undefined ? undefined : owners.get(id);
}
