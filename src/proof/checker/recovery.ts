import { markerOf } from '../history.js';
import { overlaps, type Digest, type KeyHistory } from './digest.js';
import type { Finding, Rule } from './violation.js';

/** A record must be completed this long after the faults end, or after its first request if that is later. */
export const QUIET_LIMIT_MS = 30_000;

/** The limit for the 99th percentile of recovery times: the lease and five seconds. */
export const recoveryLimitMs = (leaseMs: number) => leaseMs + 5_000;

/** Each record is completed within QUIET_LIMIT_MS, and nothing is pending at the end. */
export const nothingIsStuck: Rule = ({ rows, healedAt }) => {
  if (healedAt === undefined) return [];
  const findings: Finding[] = [];
  for (const { account, key, state, firstSeenAt, completedAt } of rows.records) {
    const marker = markerOf(account, key);
    const tookMs = (completedAt ?? 0) - Math.max(healedAt, firstSeenAt);
    if (state !== 'completed') findings.push({ says: `${key} is still in progress`, marker });
    else if (tookMs > QUIET_LIMIT_MS)
      findings.push({ says: `${key} took ${tookMs} ms after healing`, marker });
  }
  for (const { id, status, marker } of [...rows.charges, ...rows.refunds])
    if (status === 'pending' && !findings.some((each) => each.marker === marker))
      findings.push({ says: `${id} is still pending`, marker });
  for (const { id, isRelayed } of rows.events)
    if (!isRelayed) findings.push({ says: `${id} is not relayed` });
  for (const { id, status } of rows.deliveries)
    if (status === 'pending') findings.push({ says: `the delivery ${id} is still pending` });
  return findings;
};

/** Keys that had an open request or an unfinished record while a fault was active. */
export function touchedKeys(known: Digest): KeyHistory[] {
  return known.keys.filter(({ marker, attempts }) => {
    const begun = Math.min(...attempts.map(({ invokedAt }) => invokedAt));
    const ended = attempts.map(({ endedAt }) => endedAt).filter((at) => at < Infinity);
    const over = Math.max(known.recordOf.get(marker)?.completedAt ?? 0, ...ended);
    return known.faults.some((fault) => overlaps(fault, [[begun, over]]));
  });
}

/**
 * The time from the end of the last fault that overlapped an unfinished record to its completion, in ms: one entry for
 * each such record.
 */
export function recoveries(known: Digest): { marker: string; ms: number }[] {
  return known.keys.flatMap(({ marker }) => {
    const record = known.recordOf.get(marker);
    if (!record?.completedAt) return [];
    const { completedAt, firstSeenAt } = record;
    const ends = known.faults
      .filter((fault) => overlaps(fault, [[firstSeenAt, completedAt]]))
      .map(({ to }) => to);
    if (ends.length === 0) return [];
    return [{ marker, ms: Math.max(0, Math.round(completedAt - Math.max(...ends))) }];
  });
}

/** @param share more than 0, at most 1. @returns 0 if there are no values. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
}

/** The 99th percentile of the recoveries is at most the lease and five seconds. */
export const recoversInTime: Rule = (known) => {
  const all = recoveries(known);
  const limit = recoveryLimitMs(known.leaseMs);
  const p99 = percentile(
    all.map(({ ms }) => ms),
    0.99,
  );
  if (p99 <= limit) return [];
  const slow = all.find(({ ms }) => ms === p99)!;
  const says = `p99 of recovery is ${p99} ms, more than ${limit}`;
  return [{ says, marker: slow.marker, atRest: true }];
};
