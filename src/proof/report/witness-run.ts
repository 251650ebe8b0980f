import type { Knowledge, Run, RunEvent } from '../../lab/run.js';
import type { Digest } from '../checker/digest.js';
import type { Violation } from '../checker/violation.js';
import { choose, faultsDuring } from './witness-choice.js';
import {
  bodiesOf,
  eventsOfFault,
  eventsOfReads,
  eventsOfRecord,
  requestsOf,
} from './witness-events.js';
import type { Drawn } from './witness-line.js';
import { belongings, foundAtEnd, tablesOf } from './witness-rows.js';
import { subjectOf } from './witness-subject.js';

/** Added so that no two lines have the same time: the order of the lines is the order of the events. */
const TICK_MS = 0.01;
/** The length of a note, in characters: four lines of a diagram have room for it. */
const NOTE = 72;

/**
 * The witness of a violation as a run of the lab: its key's requests and rows, and the faults that overlapped. Made
 * from the journals alone. For a violation without a key: the rows and messages that it names.
 */
export function witnessRun(known: Digest, violation: Violation, id: string): Run {
  const { rule, says } = violation;
  const subject = subjectOf(known, violation);
  const has = belongings(known, subject);
  const { attempts, leftOut } = choose(subject.attempts, says);
  const faults = faultsDuring(known, subject, attempts);
  const timed = [
    ...requestsOf(attempts, leftOut),
    ...faults.shown.flatMap(eventsOfFault),
    ...eventsOfRecord(known, subject),
    ...eventsOfReads(known, subject),
  ].sort((a, b) => a.at - b.at);
  const begin = timed[0]?.at ?? 0;
  const end = timed.at(-1)?.at ?? 0;
  const note = (text: string, at: number): Drawn => ({ ...{ at, text, kind: 'note' }, ...LAB });
  const drawn = [
    ...bodiesOf(subject.attempts).map((text) => note(text, begin)),
    ...(faults.leftOut > 0 ? [note(`${faults.leftOut} more faults are left out`, begin)] : []),
    ...timed,
    note('in the journals at the end, without times:', end),
    ...foundAtEnd(has, subject).map((each) => ({ ...each, at: end })),
    ...[`Violation of “${rule}”`, ...wrapped(says)].map((text): Drawn => ({
      ...{ at: end, text, kind: 'violation' },
      ...LAB,
    })),
  ];
  const { events, knowledge } = numbered(drawn, begin);
  const { tables, reconciled } = tablesOf(has);
  return {
    id,
    scenario: 'witness',
    title: `Violation of “${rule}”: ${subject.name}`,
    parameters: { rule, subject: subject.name },
    startedAt: new Date(begin).toISOString(),
    state: 'ended',
    events,
    knowledge,
    rows: [{ atMs: events.at(-1)!.atMs, track: 'keyed', tables, reconciled }],
    verdict: { sentence: says, payments: { keyed: reconciled.payments }, holds: false },
  };
}

const LAB = { from: 'lab', to: 'lab' } as const;

function numbered(drawn: readonly Drawn[], begin: number) {
  const events: RunEvent[] = [];
  const knowledge: Knowledge[] = [];
  let last = -TICK_MS;
  for (const { at, until, knows, ...event } of drawn) {
    const atMs = (last = round(Math.max(last + TICK_MS, at - begin)));
    const untilMs =
      until === undefined ? undefined : round(Math.max(atMs + TICK_MS, until - begin));
    events.push({
      ...{ seq: events.length + 1, atMs, track: 'keyed', ...event },
      ...(untilMs !== undefined && { untilMs }),
    });
    if (knows) knowledge.push({ atMs, track: 'keyed', attempt: event.attempt ?? 0, ...knows });
  }
  return { events, knowledge };
}

const round = (ms: number) => Math.round(ms * 100) / 100;

/** Breaks a text between words into lines that fit into a note. */
function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const line = `${lines.at(-1)} ${word}`.trim();
    if (line.length <= NOTE || lines.at(-1) === '') lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}
