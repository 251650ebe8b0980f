import type { Digest } from './digest.js';
import type { Finding, Rule } from './violation.js';

/** How long after healing anything may be unfinished. */
export const QUIET_LIMIT_MS = 30_000;

/** Recovery may take the lease and this, at the 99th percentile. */
const RECOVERY_SLACK_MS = 5_000;

/** Thirty seconds after healing nothing is unfinished. */
export const nothingIsStuck: Rule = ({ rows, healedAt }) => {
  if (healedAt === undefined) return [];
  const findings: Finding[] = [];
  for (const { account, key, state, completedAt } of rows.records) {
    const marker = `${account}/${key}`;
    if (state !== 'completed') findings.push({ says: `${key} is still in progress`, marker });
    else if (completedAt !== null && completedAt > healedAt + QUIET_LIMIT_MS)
      findings.push({ says: `${key} took ${completedAt - healedAt} ms after healing`, marker });
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

/**
 * The time from the end of the last fault that overlapped a key to its completion, in ms: one entry for each key that a
 * fault touched.
 */
export function recoveries({ keys, rows, faults }: Digest): { marker: string; ms: number }[] {
  const records = new Map(
    rows.records.map((record) => [`${record.account}/${record.key}`, record]),
  );
  return keys.flatMap(({ marker, attempts }) => {
    const completedAt = records.get(marker)?.completedAt;
    if (!completedAt) return [];
    const begun = Math.min(...attempts.map(({ invokedAt }) => invokedAt));
    const touching = faults.filter(({ from, to }) => from <= completedAt && to >= begun);
    if (touching.length === 0) return [];
    const since = Math.max(begun, ...touching.map(({ to }) => to));
    return [{ marker, ms: Math.max(0, completedAt - since) }];
  });
}

/** @param share between 0 and 1 */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/** The 99th percentile of the recoveries is at most the lease and five seconds. */
export const recoversInTime: Rule = (known) => {
  const all = recoveries(known);
  const limit = known.leaseMs + RECOVERY_SLACK_MS;
  const p99 = percentile(
    all.map(({ ms }) => ms),
    0.99,
  );
  if (p99 <= limit) return [];
  const slow = all.find(({ ms }) => ms === p99);
  return [{ says: `p99 of recovery is ${p99} ms, more than ${limit}`, marker: slow?.marker }];
};
