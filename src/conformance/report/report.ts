import type { Group, Level, Source } from '../check/case.js';
import type { Exchange } from '../check/exchange.js';
import type { Result, Verdict } from '../check/run.js';
import type { Profile } from '../profile/profile.js';
import type { Secrets } from './secrets.js';

/** Everything that the reports show, without secrets. The JSON report is exactly this. */
export interface Report {
  name: string;
  url: string;
  startedAt: string;
  seconds: number;
  requests: number;
  /** The most requests at one time. */
  peak: number;
  limits: Profile['limits'];
  promises: Profile['promises'];
  totals: Record<Verdict, number>;
  failedMusts: number;
  stoppedBy?: string;
  cases: ReportedCase[];
}

export interface ReportedCase {
  id: string;
  group: Group;
  level: Level;
  title: string;
  costs: string;
  source: Source;
  verdict: Verdict;
  detail?: string;
  ms: number;
  /** What was sent and answered in a case that did not pass. */
  exchanges?: Exchange[];
  exchangesLeftOut?: number;
}

/** A race has twenty exchanges that are alike. A report with all of them is harder to read. */
const MAX_EXCHANGES = 8;
const MAX_TEXT = 2000;

export interface Facts {
  profile: Profile;
  secrets: Secrets;
  url: string;
  startedAt: Date;
  seconds: number;
  requests: number;
  peak: number;
  results: Result[];
  stoppedBy?: string;
}

export function reportOf(facts: Facts): Report {
  const { profile, secrets, url, startedAt, seconds, requests, peak, results, stoppedBy } = facts;
  const totals = { pass: 0, fail: 0, mismatch: 0, skip: 0, 'not-run': 0 };
  for (const { verdict } of results) totals[verdict] += 1;
  return {
    name: profile.name,
    url,
    startedAt: startedAt.toISOString(),
    seconds: Math.round(seconds * 10) / 10,
    requests,
    peak,
    limits: profile.limits,
    promises: profile.promises,
    totals,
    failedMusts: results.filter((each) => each.verdict === 'fail' && each.case.level === 'must')
      .length,
    stoppedBy,
    cases: results.map((result) => reported(result, secrets)),
  };
}

/** Without a must that ran, "no must failed" would be true and mislead. */
export function conclusion({ cases, failedMusts }: Report): string {
  if (failedMusts > 0) return `${failedMusts} must${failedMusts === 1 ? '' : 's'} failed.`;
  const ran = cases.some(({ level, verdict }) => level === 'must' && verdict === 'pass');
  return ran ? 'Every must that ran holds.' : 'No must ran.';
}

function reported(result: Result, secrets: Secrets): ReportedCase {
  const { verdict, ms, exchanges } = result;
  const { id, group, level, title, costs, source } = result.case;
  const detail = result.detail === undefined ? undefined : secrets.mask(result.detail);
  const facts = { id, group, level, title, costs, source, verdict, detail, ms };
  if (verdict !== 'fail' && verdict !== 'mismatch') return facts;
  const shown = exchanges.filter(({ method }) => method !== 'GET').slice(0, MAX_EXCHANGES);
  return {
    ...facts,
    exchanges: shown.map((each) => secrets.maskExchange(short(each))),
    exchangesLeftOut: exchanges.length - shown.length,
  };
}

function short(exchange: Exchange): Exchange {
  const { answer, body } = exchange;
  return {
    ...exchange,
    ...(body !== undefined && { body: cut(body) }),
    ...(answer && {
      answer: { status: answer.status, headers: answer.headers, text: cut(answer.text) },
    }),
  };
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)} …` : text;
}
