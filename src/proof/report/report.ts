import type { CampaignResult } from '../campaign.js';
import { digest, type Fault } from '../checker/digest.js';
import { percentile, recoveries, recoveryLimitMs, touchedKeys } from '../checker/recovery.js';

/** The result of a campaign, as in report.json. */
export interface Report {
  seed: number;
  minutes: number;
  seconds: number;
  verdict: 'no violation' | 'violations' | 'invalid';
  counts: Record<string, number>;
  /** In ms, for each record that a fault found unfinished. */
  recovery: { p50: number; p99: number; max: number; limit: number; all: number[] };
  /** In ms, from the first time that a record was seen to its completion, faults included. */
  unfinished: { p50: number; p99: number; max: number };
  /** With 95 % confidence, at most this share of keys that a fault overlaps is charged twice. */
  upperBound: number;
  cells: [cell: string, hits: number][];
  missed: string[];
  faults: (Omit<Fault, 'from' | 'to'> & { from: number; to: number })[];
  violations: CampaignResult['violations'];
}

/**
 * If none of n keys shows a double charge, the share of such keys is below 3/n at 95 % (the "rule of three"; Hanley and
 * Lippman-Hand, JAMA 1983). n counts the keys that were paid: no other key can show one.
 */
const RULE_OF_THREE = 3;

export function reportOf(
  { violations, journals, hits, missed, seconds }: CampaignResult,
  { seed, minutes }: { seed: number; minutes: number },
): Report {
  const known = digest(journals);
  const touched = touchedKeys(known);
  const payments = journals.ledger.payments.filter(({ status }) => status === 'succeeded');
  const paid = new Set(payments.map(({ marker }) => marker));
  const paidAndTouched = touched.filter(({ marker }) => paid.has(marker)).length;
  const times = recoveries(known).map(({ ms }) => ms);
  const ages = journals.rows.records.flatMap(({ completedAt, firstSeenAt }) =>
    completedAt === null ? [] : [Math.round(completedAt - firstSeenAt)],
  );
  const attempts = known.keys.flatMap((each) => each.attempts);
  const begun = Math.min(...attempts.map(({ invokedAt }) => invokedAt));
  const of = (outcome: string) => attempts.filter((each) => each.outcome === outcome).length;
  return {
    seed,
    minutes,
    seconds: Math.round(seconds),
    verdict: violations.length > 0 ? 'violations' : missed.length > 0 ? 'invalid' : 'no violation',
    counts: {
      requests: attempts.length,
      'final answers': of('ok'),
      refused: of('fail'),
      'unknown outcomes': of('unknown'),
      keys: known.keys.length,
      'keys that a fault touched': touched.length,
      'paid keys that a fault touched': paidAndTouched,
      charges: journals.rows.charges.length,
      payments: payments.length,
      refunds: journals.rows.refunds.length,
      'orders paid': journals.rows.orders.filter(({ status }) => status === 'paid').length,
      'receipts received': journals.mails.length,
      'webhooks received': journals.received.length,
      faults: known.faults.length,
      reads: known.reads.length,
    },
    recovery: {
      p50: percentile(times, 0.5),
      p99: percentile(times, 0.99),
      max: percentile(times, 1),
      limit: recoveryLimitMs(journals.leaseMs),
      all: times,
    },
    unfinished: {
      p50: percentile(ages, 0.5),
      p99: percentile(ages, 0.99),
      max: percentile(ages, 1),
    },
    upperBound: paidAndTouched > 0 ? RULE_OF_THREE / paidAndTouched : 1,
    cells: hits,
    missed,
    faults: known.faults.map((each) => ({
      ...each,
      from: each.from - begun,
      to: each.to - begun,
    })),
    violations,
  };
}

export function summaryOf({
  verdict,
  counts,
  recovery,
  unfinished,
  upperBound,
  cells,
  missed,
  violations,
}: Report): string {
  const lines = Object.entries(counts).map(
    ([name, count]) => `${String(count).padStart(8)}  ${name}`,
  );
  const hit = cells.length - missed.length;
  return [
    ...lines,
    `recovery: p50 ${recovery.p50} ms, p99 ${recovery.p99} ms, max ${recovery.max} ms (limit for p99: ${recovery.limit})`,
    `from reserve to outcome, faults included: p50 ${unfinished.p50} ms, p99 ${unfinished.p99} ms, max ${unfinished.max} ms`,
    `cells: ${hit} of ${cells.length}${missed.length > 0 ? `; not hit: ${missed.join(', ')}` : ''}`,
    `keys charged twice, upper bound at 95 %: ${upperBound.toFixed(5)}`,
    `${verdict}${violations.length > 0 ? `: ${violations.length}` : ''}`,
  ].join('\n');
}
