import type { Actor } from '../../lab/run.js';
import { markerOf } from '../history.js';
import { membersOf, type Attempt, type Digest, type Fault } from '../checker/digest.js';
import { recordsOf, type Subject } from './witness-subject.js';
import type { Drawn } from './witness-line.js';

// What the journals contain with a time: requests, answers, faults, the record.

const MAX_READS = 8;
/** Longer texts of requests and responses are cut. A campaign's are shorter. */
const MAX_TEXT_CHARACTERS = 3_000;

/** Requests and how they ended for the client. */
export function requestsOf(attempts: readonly Attempt[], leftOut: readonly number[]): Drawn[] {
  const bodyOf = namer('body', 'A'.charCodeAt(0), bodyTexts(attempts));
  const answers = attempts.flatMap(({ outcome, answer }) =>
    outcome === 'ok' && answer !== undefined ? [answer] : [],
  );
  const answerOf = namer('answer', '1'.charCodeAt(0), [...new Set(answers)]);
  const drawn = attempts.flatMap((each, i) => [
    ...gap(leftOut[i] ?? 0, each.invokedAt),
    invocation(each, bodyOf(textOfRequest(each))),
    end(each, answerOf(each.answer ?? '')),
  ]);
  const last = Math.max(...drawn.map(({ at }) => at).filter(Number.isFinite));
  // A request without an end stays unknown: it is drawn after all others.
  const finite = drawn.map((each) => ({ ...each, at: Number.isFinite(each.at) ? each.at : last }));
  return [...finite, ...gap(leftOut.at(-1) ?? 0, last)];
}

function gap(count: number, at: number): Drawn[] {
  if (count === 0) return [];
  const text = count === 1 ? '1 request is left out' : `${count} requests are left out`;
  return [{ ...{ at, text, kind: 'note' }, ...{ from: 'client', to: 'client' } }];
}

function invocation(attempt: Attempt, body: string): Drawn {
  const { n, invokedAt, operation, key } = attempt;
  return {
    at: invokedAt,
    kind: 'request',
    ...{ from: 'client', to: 'api', attempt: n },
    text: `#${n} ${shortOf(operation)}, key ${key}, ${body}`,
    detail: { bytes: cut(textOfRequest(attempt, `Idempotency-Key: ${key}\n`)) },
  };
}

function end({ n, endedAt, outcome, status, code, answer }: Attempt, name: string): Drawn {
  const knows = { state: outcome === 'fail' ? ('failed' as const) : outcome };
  if (status === undefined) {
    const text = `#${n} no answer: the client cannot know`;
    const mark = { kind: 'note', from: 'client', to: 'client', attempt: n } as const;
    return { at: endedAt, ...mark, text, knows: { ...knows, text: 'no answer' } };
  }
  const what = outcome === 'ok' ? name : (code ?? '');
  return {
    at: endedAt,
    kind: 'response',
    ...{ from: 'api', to: 'client', attempt: n },
    text: `#${n} ${status}${what && `, ${what}`}`,
    ...(answer !== undefined && { detail: { bytes: cut(`${status}\n\n${answer}`) } }),
    knows: { ...knows, text: String(status) },
  };
}

/** `body A: amount 1000, currency usd`, one line for each body. */
export function bodiesOf(attempts: readonly Attempt[]): string[] {
  const texts = bodyTexts(attempts);
  const bodyOf = namer('body', 'A'.charCodeAt(0), texts);
  return texts.slice(0, MAX_BODIES).map((text) => {
    const [, body = ''] = text.split('\n\n');
    return `${bodyOf(text)}: ${listOf(body, attempts[0]!)}`;
  });
}

const MAX_BODIES = 4;

/** Without the member that contains account and key, which is only for the checker. */
function listOf(body: string, { account, key }: Attempt): string {
  const members = membersOf(body);
  if (!members) return body;
  return Object.entries(members)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .filter((text) => !text.includes(markerOf(account, key)))
    .join(', ');
}

const textOfRequest = ({ operation, body }: Attempt, head = '') => `${operation}\n${head}\n${body}`;

const bodyTexts = (attempts: readonly Attempt[]) => [
  ...new Set(attempts.map((each) => textOfRequest(each))),
];

/** Equal texts get one name: `body A`. @param first character code of the first name */
function namer(what: string, first: number, texts: readonly string[]) {
  return (text: string) => {
    const place = texts.indexOf(text);
    return place < 0 ? '' : `${what} ${String.fromCharCode(first + Math.min(place, 8))}`;
  };
}

/** Shortens ids in a path, which are long and the same in all lines: `POST /charges/…/refunds`. */
const shortOf = (operation: string) => operation.replaceAll(/\/(?:ch|re|evt)_\w{9,}/g, '/…');

const cut = (text: string) =>
  text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS)}…` : text;

/** The line of the diagram at which a fault is drawn. The fault of a link is drawn at the link's end. */
const LANES: Readonly<Record<string, Actor>> = {
  client: 'client',
  api: 'api',
  worker: 'worker',
  processor: 'processor',
  postgres: 'database',
  mail: 'mail',
  merchant: 'receiver',
};

function laneOf(point: string): Actor {
  if (point === 'processor → postgres') return 'processor'; // its own database
  return LANES[point.split(' → ').at(-1) ?? ''] ?? 'api';
}

export function eventsOfFault({ point, action, from, to }: Fault): Drawn[] {
  const lane = laneOf(point);
  const mark = { kind: 'fault' as const, from: lane, to: lane };
  const name = `${point} × ${action}`;
  if (!Number.isFinite(to))
    return [{ at: from, ...mark, text: `fault without end: ${name}`, until: FOREVER_MS }];
  return [
    { at: from, ...mark, text: `fault begins: ${name}`, until: to },
    { at: to, ...mark, text: `fault ends: ${name}` },
  ];
}

/** Later than any campaign, and a number that JSON has. */
const FOREVER_MS = 1e13;

export function eventsOfRecord(known: Digest, subject: Subject): Drawn[] {
  const from = subject.attempts[0]?.invokedAt ?? -Infinity;
  const mark = { kind: 'note', from: 'database', to: 'database' } as const;
  return recordsOf(known, subject).flatMap(({ key, status, firstSeenAt, completedAt }) => [
    { at: Math.max(from, firstSeenAt), ...mark, text: `record of ${key} is written` },
    ...(completedAt === null
      ? []
      : [{ at: completedAt, ...mark, text: `record of ${key} is completed: ${status}` }]),
  ]);
}

/** Each change that a client could read of an object that the violation names. */
export function eventsOfReads({ reads }: Digest, { named }: Subject): Drawn[] {
  const seen = new Map<string, string>();
  const drawn: Drawn[] = [];
  for (const { account, object, status, state = '', until } of reads) {
    if (!named.has(object)) continue;
    const text = `GET ${object} by ${account}: ${status} ${state}`.trim();
    if (seen.get(account + object) === text) continue;
    seen.set(account + object, text);
    drawn.push({ at: until, kind: 'response', from: 'api', to: 'client', text });
  }
  return drawn.slice(-MAX_READS);
}
