import { overlaps, type Attempt, type Digest, type Fault, type Span } from '../checker/digest.js';
import { recordsOf, type Subject } from './witness-subject.js';

/** A person can read a diagram of this many requests. */
const MAX_REQUESTS = 8;
const MAX_FAULTS = 5;

/** The requests that are drawn, and how many are left out before each of them, and after the last. */
export interface Choice {
  attempts: Attempt[];
  leftOut: number[];
}

/**
 * All, unless they are many: then those that the violation names, and the first of each kind of request and answer.
 * @param says the violation's sentence, which names requests as `#12`
 */
export function choose(all: readonly Attempt[], says: string): Choice {
  const named = new Set([...says.matchAll(/#(\d+)/g)].map(([, n]) => Number(n)));
  const kinds = new Set<string>();
  const isFirstOfKind = ({ account, key, operation, body, ...end }: Attempt) => {
    const { outcome, status, code, answer } = end;
    const kind = JSON.stringify([account, key, operation, body, outcome, status, code, answer]);
    return kinds.size < kinds.add(kind).size;
  };
  const firsts = new Set(all.filter(isFirstOfKind));
  const rank = (each: Attempt) => (named.has(each.n) ? 0 : firsts.has(each) ? 1 : 2);
  const ranked = all.filter((each) => all.length <= MAX_REQUESTS || rank(each) < 2);
  const chosen = new Set(ranked.sort((a, b) => rank(a) - rank(b)).slice(0, MAX_REQUESTS));
  const attempts = all.filter((each) => chosen.has(each));
  const places = [-1, ...attempts.map((each) => all.indexOf(each)), all.length];
  return { attempts, leftOut: places.slice(1).map((place, i) => place - places[i]! - 1) };
}

/** Faults during a request or while a record was unfinished. If there are many, only those during drawn requests. */
export function faultsDuring(known: Digest, subject: Subject, shown: readonly Attempt[]) {
  const of = (attempts: readonly Attempt[]) =>
    attempts.map(({ invokedAt, endedAt }): Span => [invokedAt, endedAt]);
  const from = subject.attempts[0]?.invokedAt ?? -Infinity;
  const records = recordsOf(known, subject).map(({ firstSeenAt, completedAt }): Span => [
    Math.max(from, firstSeenAt),
    completedAt ?? Infinity,
  ]);
  const open = [...of(subject.attempts), ...records];
  const all = known.faults.filter((fault) => overlaps(fault, open));
  const rank = (fault: Fault) => (overlaps(fault, of(shown)) ? 0 : 1);
  const chosen = [...all].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_FAULTS);
  return { shown: chosen, leftOut: all.length - chosen.length };
}
