import { overlaps, type Digest, type Span } from './digest.js';

/** What a rule finds: one sentence, and the key that the sentence is about. */
export interface Finding {
  says: string;
  marker?: string;
  /** True: a violation only if the service is quiet, because what is missing may still arrive. */
  atRest?: boolean;
}

export interface Violation extends Finding {
  rule: string;
  /** The smallest part of the history that shows the violation: the key's requests and the faults that overlapped. */
  witness: string;
}

export type Rule = (known: Digest) => Finding[];

/**
 * The key's requests, and the faults during one of them or while its record was unfinished. In order, one for each
 * line, in seconds since the key's first request.
 */
export function witnessOf(known: Digest, marker: string | undefined): string {
  const history = marker && known.keyOf.get(marker);
  if (!history) return '';
  const { attempts } = history;
  const from = attempts[0]!.invokedAt;
  const record = known.recordOf.get(history.marker);
  const open: Span[] = attempts.map(({ invokedAt, endedAt }) => [invokedAt, endedAt]);
  if (record) open.push([Math.max(from, record.firstSeenAt), record.completedAt ?? Infinity]);
  const lines: [number, string][] = [];
  for (const {
    n,
    invokedAt,
    endedAt,
    operation,
    body,
    outcome,
    status,
    code,
    answer,
  } of attempts) {
    lines.push([invokedAt, `#${n} invoke  ${operation} ${body}`]);
    const shown = [status, code, answer].filter((part) => part !== undefined).join(' ');
    if (endedAt < Infinity) lines.push([endedAt, `#${n} ${outcome.padEnd(7)} ${shown}`]);
  }
  const faults = known.faults.filter((fault) => overlaps(fault, open));
  for (const { point, action, from: begin, to: end } of faults) {
    lines.push([begin, `fault begins: ${point} × ${action}`]);
    if (end < Infinity) lines.push([end, `fault ends:   ${point} × ${action}`]);
  }
  if (record?.completedAt) lines.push([record.completedAt, `record completed: ${record.status}`]);
  return lines
    .sort(([a], [b]) => a - b)
    .map(([at, text]) => `${((at - from) / 1000).toFixed(3).padStart(9)} s  ${text}`)
    .join('\n');
}
