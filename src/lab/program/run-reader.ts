import type { Actor, EventDetail, Knowledge, Reconciled, Rows, RowsTable, Run } from '../run.js';
import { EVENT_KINDS, type RunEvent, type Verdict } from '../run.js';
import { ACTOR_NAMES } from '../words.js';
import {
  boolean,
  either,
  integer,
  listOf,
  mapOf,
  MalformedJson,
  number,
  object,
  oneOf,
  optional,
  text,
  type Reader,
} from './shape.js';

// Validates a run from an untrusted file.

const SHORT = 300;
/** The longest string that is accepted. Lines of the journal are shorter. */
const LONG = 8_000;
const WHOLE_YEARS_MS = 1e14;

const time = number(0, WHOLE_YEARS_MS);
const count = integer(0, 1e12);
const track = oneOf('keyed', 'naive');
const actor = oneOf(...(Object.keys(ACTOR_NAMES) as Actor[]));
const kind = oneOf(...EVENT_KINDS);

/** Without curl commands and fault buttons: a visitor would believe that they come from the lab. */
const detail: Reader<EventDetail> = object<Omit<EventDetail, 'curl' | 'faults'>>({
  bytes: optional(text(LONG)),
  sql: optional(text(LONG)),
  parameters: optional(listOf(text(LONG), 200)),
  source: optional(object({ file: text(SHORT), line: count })),
});

const event = object<RunEvent>({
  seq: count,
  atMs: time,
  track,
  kind,
  from: actor,
  to: actor,
  text: text(LONG),
  lost: optional(boolean),
  attempt: optional(count),
  pid: optional(count),
  untilMs: optional(time),
  detail: optional(detail),
});

const knowledge = object<Knowledge>({
  atMs: time,
  track,
  attempt: count,
  state: oneOf('ok', 'failed', 'unknown'),
  text: text(LONG),
});

const table = object<RowsTable>({
  name: text(SHORT),
  columns: listOf(text(SHORT), 50),
  rows: listOf(listOf(text(LONG), 50), 1_000),
});

const rows = object<Rows>({
  atMs: time,
  track,
  tables: listOf(table, 50),
  reconciled: object<Reconciled>({
    charges: count,
    payments: count,
    receipts: count,
    paidMinor: count,
  }),
});

const byTrack = <T>(item: Reader<T>) => object({ keyed: optional(item), naive: optional(item) });

const verdict = object<Verdict>({
  sentence: text(LONG),
  payments: byTrack(count),
  answers: optional(byTrack(mapOf(count, 100))),
  holds: boolean,
  example: optional(text(20)),
});

const run = object<Run>({
  id: text(SHORT),
  scenario: text(SHORT),
  title: text(SHORT),
  parameters: mapOf(either(text(SHORT), number(-1e12, 1e12)), 30),
  startedAt: text(SHORT),
  state: oneOf('ended', 'failed'),
  events: listOf(event, 2_000),
  knowledge: listOf(knowledge, 1_000),
  rows: listOf(rows, 1_000),
  verdict: optional(verdict),
});

/**
 * Reads a run from an exported file, or from a file of the lab's own store, where it is the member `run`.
 * @throws MalformedJson
 */
export function readRun(json: unknown): Run {
  const isKept = typeof json === 'object' && json !== null && 'run' in json && 'stream' in json;
  const found = run(isKept ? json.run : json, '');
  const misplaced = found.events.findIndex(({ seq }, i) => seq !== i + 1);
  if (misplaced >= 0) throw new MalformedJson(`events[${misplaced}].seq is not ${misplaced + 1}`);
  if (found.events.length === 0) throw new MalformedJson('events is empty');
  return found;
}
