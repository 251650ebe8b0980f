import type { Actor, EventKind, Knowledge, Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';

// Where everything of a sequence diagram is drawn. Numbers only, so that it runs in a browser and in the export.

/** Pauses that a reader should see. */
const PAUSE_MS = 900;
export const ROW = 34;
export const TOP = 64;
/** Of the client's line: on its left is what the client knows. */
const LEFT = 176;
const RIGHT = 88;
/** Between two lines; wider where there is one diagram only. */
const COLUMN = { side: 100, alone: 160 };
/** Of a character of a label, at most: labels are placed without a browser, in the export too. */
export const CHARACTER = 8.1;
const ORDER = (Object.keys(ACTOR_NAMES) as Actor[]).filter((actor) => actor !== 'lab');

export interface Placed {
  event: RunEvent;
  y: number;
  x1: number;
  x2: number;
  label: Label;
}

/** Each event has a row of its own, so a label may be longer than its arrow. */
export interface Label {
  text: string;
  /** What is drawn of it: all, unless the diagram is too narrow. */
  shown: string;
  x: number;
  anchor: 'start' | 'middle' | 'end';
}

/** A stretch of one lifeline. */
export interface Stretch {
  actor: Actor;
  x: number;
  from: number;
  to: number;
  kind: 'dead' | 'frozen' | 'lease' | 'fault';
  text: string;
  /** Of a fault: how many others on this line it is beside. */
  place?: number;
  /** Of a lease that nothing ended but time. */
  hasRunOut?: boolean;
}

export interface Layout {
  width: number;
  height: number;
  lines: { actor: Actor; x: number }[];
  events: Placed[];
  stretches: Stretch[];
  /** From a retry to the first attempt. */
  ties: { from: number; to: number; text: string }[];
  knowledge: { y: number; state: Knowledge['state']; text: string }[];
  /** Longer pauses between two rows. */
  pauses: { y: number; text: string }[];
}

const WORDS: Partial<Record<EventKind, string>> = {
  replay: 'replay',
  commit: 'commit',
  rollback: 'rollback',
  notification: 'webhook',
  message: 'message',
};

export interface View {
  /** Points of the engine and plain statements, too. */
  isDetailed: boolean;
  /** Only events up to this one; all if left out. */
  until?: number;
}

const DETAILS: ReadonlySet<EventKind> = new Set(['point', 'statement']);

/** Hidden at first: the points of the engine, single statements, and a COMMIT that wrote nothing. */
function isDetail({ kind, text }: RunEvent): boolean {
  return DETAILS.has(kind) || (kind === 'commit' && text === 'COMMIT');
}

export function eventsShown(
  run: Run,
  track: Track,
  { isDetailed, until = Infinity }: View,
): RunEvent[] {
  return run.events.filter(
    (event) => event.track === track && event.seq <= until && (isDetailed || !isDetail(event)),
  );
}

export function layOut(run: Run, track: Track, view: View): Layout {
  const shown = eventsShown(run, track, view);
  const all = run.events.filter((event) => event.track === track);
  // The columns are there from the beginning, so that nothing jumps while it plays.
  const actors = ORDER.filter((actor) =>
    all.some(({ from, to }) => from === actor || to === actor),
  );
  const isAlone = run.events.every((event) => event.track === track);
  const column = isAlone ? COLUMN.alone : COLUMN.side;
  const lines = actors.map((actor, i) => ({ actor, x: LEFT + i * column }));
  const xOf = (actor: Actor) => lines.find((line) => line.actor === actor)?.x ?? LEFT;
  const layout: Layout = {
    width: LEFT + (Math.max(actors.length, 2) - 1) * column + RIGHT,
    height: TOP + 20,
    ...{ lines, events: [], stretches: [], ties: [], knowledge: [], pauses: [] },
  };
  let y = TOP;
  let lastMs = 0;
  for (const event of shown) {
    if (event.atMs - lastMs > PAUSE_MS && layout.events.length > 0) {
      layout.pauses.push({ y, text: seconds(event.atMs - lastMs) });
      y += ROW;
    }
    lastMs = event.atMs;
    const [x1, x2] = [xOf(event.from), xOf(event.to)];
    const label = labelOf(event, repeatOf(event, run, shown), x1, x2, layout.width);
    layout.events.push({ event, y, x1, x2, label });
    y += ROW;
  }
  layout.height = y + 16;
  layout.stretches = stretchesOf(layout, xOf);
  layout.ties = tiesOf(layout);
  layout.knowledge = knowledgeOf(run.knowledge, track, layout, view);
  return layout;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

function labelOf(event: RunEvent, repeat: string, x1: number, x2: number, width: number): Label {
  const text = textOf(event, repeat);
  const place = event.from === 'lab' ? { x: width / 2, anchor: 'middle' as const } : undefined;
  const most = Math.floor((width - LEFT + 40) / CHARACTER);
  const shown = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return { text, shown, ...(place ?? placeOf(shown.length * CHARACTER, x1, x2, width)) };
}

/** A label is above its arrow, or beside its mark; one that is too long goes on to the right, up to the edge. */
function placeOf(
  length: number,
  x1: number,
  x2: number,
  width: number,
): Pick<Label, 'x' | 'anchor'> {
  const [left, right] = [Math.min(x1, x2), Math.max(x1, x2)];
  if (length <= right - left - 8) return { x: (left + right) / 2, anchor: 'middle' };
  const start = left + (x1 === x2 ? 18 : 14);
  if (start + length <= width) return { x: start, anchor: 'start' };
  return x1 === x2 && length < left - 18
    ? { x: left - 14, anchor: 'end' }
    : { x: width - 4, anchor: 'end' };
}

function textOf({ kind, text, lost, atMs, untilMs = 0 }: RunEvent, repeat: string): string {
  if (kind === 'lease' && untilMs > atMs) return `${text}, until ${(untilMs / 1000).toFixed(1)} s`;
  const word = lost ? 'lost' : repeat || (WORDS[kind] ?? '');
  return word && !text.toLowerCase().startsWith(word) ? `${word}: ${text}` : text;
}

/** A retry comes after the client has learned something of the first attempt; before that it is a duplicate. */
function repeatOf(event: RunEvent, { knowledge }: Run, shown: readonly RunEvent[]): string {
  const first = firstOf(event, shown);
  if (!first) return '';
  const isKnown = knowledge.some(
    ({ track, attempt, atMs }) =>
      track === event.track && attempt === first.attempt && atMs <= event.atMs,
  );
  return isKnown ? 'retry' : 'duplicate';
}

/** The first attempt of what a request repeats: the same method and path, with the same key or both without one. */
function firstOf(retry: RunEvent, events: readonly RunEvent[]): RunEvent | undefined {
  if (retry.kind !== 'request') return undefined;
  const first = events.find(({ kind, text }) => kind === 'request' && text === retry.text);
  return first && first.attempt !== retry.attempt ? first : undefined;
}

/** Deaths last until the next birth, naps until waking, leases until they run out or the run is over. */
function stretchesOf({ events, height }: Layout, xOf: (actor: Actor) => number): Stretch[] {
  const end = height - 10;
  const until = (i: number, kind: EventKind, actor: Actor) =>
    events.slice(i + 1).find(({ event }) => event.kind === kind && event.from === actor)?.y ?? end;
  const found: Stretch[] = [];
  for (const [i, { event, y }] of events.entries()) {
    const { from: actor, text } = event;
    const x = xOf(actor);
    if (event.kind === 'killed')
      found.push({ actor, x, from: y, to: until(i, 'started', actor), kind: 'dead', text });
    if (event.kind === 'frozen')
      found.push({ actor, x, from: y, to: until(i, 'resumed', actor), kind: 'frozen', text });
    if (event.kind === 'fault' && event.untilMs !== undefined) {
      const to = events.find(({ event: { atMs } }) => atMs >= event.untilMs!)?.y ?? end;
      const place = found.filter((each) => each.actor === actor && each.to > y).length;
      found.push({ actor, x, from: y, to, kind: 'fault', text, place });
    }
    if (event.kind === 'lease' && event.untilMs !== undefined && event.untilMs > event.atMs) {
      const over = events.slice(i + 1).find(({ event: later }) => endsLease(later, event));
      const hasRunOut = over !== undefined && over.event.atMs >= event.untilMs;
      found.push({
        actor,
        x,
        from: y,
        to: hasRunOut ? over.y - LEASE_END : (over?.y ?? end),
        kind: 'lease',
        text,
        hasRunOut,
      });
    }
  }
  return found;
}

/** Above the first event after the lease: there it is written that it ran out. */
const LEASE_END = 26;

function endsLease(later: RunEvent, lease: RunEvent): boolean {
  return later.kind === 'lease' || later.atMs >= (lease.untilMs ?? 0);
}

function tiesOf({ events }: Layout): Layout['ties'] {
  const all = events.map(({ event }) => event);
  return events.flatMap(({ event, y }) => {
    const original = firstOf(event, all);
    const first = original && events.find((placed) => placed.event === original);
    return first ? [{ from: y, to: first.y, text: `attempt ${event.attempt ?? ''}` }] : [];
  });
}

function knowledgeOf(
  knowledge: readonly Knowledge[],
  track: Track,
  { events, height }: Layout,
  { until = Infinity }: View,
): Layout['knowledge'] {
  const lastMs = events.at(-1)?.event.atMs ?? 0;
  return knowledge
    .filter((known) => known.track === track && (until === Infinity || known.atMs <= lastMs))
    .map(({ atMs, state, text }) => {
      const before = events.findLast(({ event }) => event.atMs <= atMs);
      return { y: Math.min(before?.y ?? TOP, height - 12), state, text };
    });
}
