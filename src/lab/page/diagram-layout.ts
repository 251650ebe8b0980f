import type { Actor, EventKind, Knowledge, Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';

// The positions of everything in a sequence diagram. Numbers only, so that it runs in a browser and in the export.

/** Longer pauses between two events are shown to the reader. */
const PAUSE_MS = 900;
export const ROW = 34;
export const TOP = 64;
/** The x of the client's line. What the client knows is to the left of it. */
const LEFT = 176;
const RIGHT = 88;
/** The distance between two lines; wider if there is only one diagram. */
const COLUMN = { side: 100, alone: 160 };
/** The largest width of a label's character. The export has no browser that could measure labels. */
export const CHARACTER = 8.1;
const ORDER = (Object.keys(ACTOR_NAMES) as Actor[]).filter((actor) => actor !== 'lab');

export interface Placed {
  event: RunEvent;
  y: number;
  x1: number;
  x2: number;
  label: Label;
}

/** Each event has its own row, so a label may be longer than its arrow. */
export interface Label {
  text: string;
  /** The part that is drawn: all of it, unless the diagram is too narrow. */
  shown: string;
  x: number;
  anchor: 'start' | 'middle' | 'end';
}

/** The time on one lifeline during which a process is dead, frozen or faulted, or a lease is held. */
export interface Stretch {
  actor: Actor;
  x: number;
  from: number;
  to: number;
  kind: 'dead' | 'frozen' | 'lease' | 'fault';
  text: string;
  /** For a fault: the number of earlier stretches on this line that it overlaps. */
  place?: number;
  /** For a lease: it expired before anything else ended it. */
  hasRunOut?: boolean;
}

export interface Layout {
  width: number;
  height: number;
  lines: { actor: Actor; x: number }[];
  events: Placed[];
  stretches: Stretch[];
  /** Lines from a retry to the first attempt. */
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
  /** Also shows points of the engine and plain statements. */
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

/** A label is above its arrow, or beside its mark. One that is too long continues to the right, up to the edge. */
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

/** A repeat is a retry if the client has learned something about the first attempt, otherwise a duplicate. */
function repeatOf(event: RunEvent, { knowledge }: Run, shown: readonly RunEvent[]): string {
  const first = firstOf(event, shown);
  if (!first) return '';
  const isKnown = knowledge.some(
    ({ track, attempt, atMs }) =>
      track === event.track && attempt === first.attempt && atMs <= event.atMs,
  );
  return isKnown ? 'retry' : 'duplicate';
}

/** The first attempt that a request repeats: the same method and path, with the same key or both without one. */
function firstOf(retry: RunEvent, events: readonly RunEvent[]): RunEvent | undefined {
  if (retry.kind !== 'request') return undefined;
  const first = events.find(({ kind, text }) => kind === 'request' && text === retry.text);
  return first && first.attempt !== retry.attempt ? first : undefined;
}

/** A process is dead until its next start, and frozen until it resumes. A lease ends by time or with the run. */
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

/** An expired lease ends this far above the next event, and its label is there. */
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
