import type { Actor, EventKind, Knowledge, Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';

// Where everything of a sequence diagram is drawn. Numbers only, so that it runs in a browser and in the export.

export const ROW = 32;
export const TOP = 62;
const LEFT = 148;
/** Between two lines; wider where there is one diagram only. */
const COLUMN = { side: 124, alone: 168 };
const ORDER = (Object.keys(ACTOR_NAMES) as Actor[]).filter((actor) => actor !== 'lab');

export interface Placed {
  event: RunEvent;
  y: number;
  x1: number;
  x2: number;
  /** What this arrow is, in a word; the shape says it as well. */
  word: string;
}

/** A stretch of one lifeline. */
export interface Stretch {
  actor: Actor;
  x: number;
  from: number;
  to: number;
  kind: 'dead' | 'frozen' | 'lease';
  text: string;
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

/** Pauses that a reader should see, in ms. */
const PAUSE_MS = 900;

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

const DETAILS: ReadonlySet<EventKind> = new Set(['point', 'statement', 'note']);

export function eventsShown(
  run: Run,
  track: Track,
  { isDetailed, until = Infinity }: View,
): RunEvent[] {
  return run.events.filter(
    (event) =>
      event.track === track && event.seq <= until && (isDetailed || !DETAILS.has(event.kind)),
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
    width: LEFT + (Math.max(actors.length, 2) - 1) * column + 96,
    height: TOP + 20,
    ...{ lines, events: [], stretches: [], ties: [], knowledge: [], pauses: [] },
  };
  let y = TOP;
  let lastMs = 0;
  for (const event of shown) {
    if (event.atMs - lastMs > PAUSE_MS && layout.events.length > 0) {
      layout.pauses.push({ y, text: seconds(event.atMs - lastMs) });
      y += ROW * 0.8;
    }
    lastMs = event.atMs;
    layout.events.push({ event, y, x1: xOf(event.from), x2: xOf(event.to), word: wordOf(event) });
    y += ROW;
  }
  layout.height = y + 16;
  layout.stretches = stretchesOf(layout, xOf);
  layout.ties = tiesOf(layout);
  layout.knowledge = knowledgeOf(run.knowledge, track, layout, view);
  return layout;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

function wordOf({ lost, kind }: RunEvent): string {
  return lost ? 'lost' : (WORDS[kind] ?? '');
}

/** Deaths last until the next birth, naps until waking, leases until they run out or the run is over. */
function stretchesOf({ events, height }: Layout, xOf: (actor: Actor) => number): Stretch[] {
  const end = height - 10;
  const until = (i: number, kind: EventKind, actor: Actor) =>
    events.slice(i + 1).find(({ event }) => event.kind === kind && event.from === actor)?.y ?? end;
  const found: Stretch[] = [];
  for (const [i, { event, y }] of events.entries()) {
    const actor = event.from;
    const x = xOf(actor);
    if (event.kind === 'killed')
      found.push({
        actor,
        x,
        from: y,
        to: until(i, 'started', actor),
        kind: 'dead',
        text: event.text,
      });
    if (event.kind === 'frozen')
      found.push({
        actor,
        x,
        from: y,
        to: until(i, 'resumed', actor),
        kind: 'frozen',
        text: event.text,
      });
    if (event.kind === 'lease' && event.untilMs !== undefined && event.untilMs > event.atMs) {
      const over = events.slice(i + 1).find(({ event: later }) => endsLease(later, event));
      found.push({
        actor,
        x,
        from: y,
        to: over?.y ?? end,
        kind: 'lease',
        text: event.text,
      });
    }
  }
  return found;
}

function endsLease(later: RunEvent, lease: RunEvent): boolean {
  return later.kind === 'lease' || later.atMs >= (lease.untilMs ?? 0);
}

function tiesOf({ events }: Layout): Layout['ties'] {
  const requests = events.filter(({ event }) => event.kind === 'request');
  const [first] = requests;
  if (!first) return [];
  return requests
    .slice(1)
    .filter(({ event }) => event.attempt !== first.event.attempt)
    .map(({ event, y }) => ({ from: y, to: first.y, text: `attempt ${event.attempt ?? ''}` }));
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
