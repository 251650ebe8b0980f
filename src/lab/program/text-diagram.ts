import type { Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES, reconcileText, TRACK_TITLES, tracksOf, trackTitle } from '../words.js';

/** The number of columns that can be read from the last row of a room. */
const WIDTH = 100;

/** A run for a terminal or a slide: one line for each arrow, time downwards, one track after the other. */
export function textOf(run: Run): string {
  const parts = tracksOf(run).map((track) => trackOf(run, track));
  const answers = Object.entries(run.verdict?.answers ?? {}).map(([track, counts]) => {
    const each = Object.entries(counts).map(([answer, count]) => `${count} × ${answer}`);
    return `${TRACK_TITLES[track as Track]}: ${each.join(', ')}`;
  });
  return [run.title, ...parts, ...answers, run.verdict?.sentence ?? run.state].join('\n\n');
}

function trackOf(run: Run, track: Track): string {
  const shown = run.events.filter((event) => event.track === track && isShown(event));
  const known = run.knowledge.filter((each) => each.track === track);
  const timed = [
    ...shown.map((event) => ({ atMs: event.atMs, text: lineOf(event) })),
    ...known.map(({ atMs, state, text }) => ({ atMs, text: `client knows: ${state} (${text})` })),
  ].sort((a, b) => a.atMs - b.atMs);
  const lines = timed.map(({ atMs, text }) =>
    `${(atMs / 1000).toFixed(2).padStart(7)} s  ${text}`.slice(0, WIDTH),
  );
  const last = run.rows.filter((rows) => rows.track === track).at(-1);
  return [
    trackTitle(run, track),
    ...lines,
    ...(last ? [`  rows: ${reconcileText(last)}`] : []),
  ].join('\n');
}

/** A slide has no room for the engine's points, for leases, and for statements that only read. */
function isShown({ kind, text }: RunEvent): boolean {
  if (kind === 'point' || kind === 'lease') return false;
  return !(kind === 'statement' && /^(SELECT|BEGIN|COMMIT)/.test(text));
}

function lineOf({ kind, from, to, text, lost }: RunEvent): string {
  if (from === to) {
    const isSaid = kind === 'note' || text.startsWith(kind);
    return `${ACTOR_NAMES[from]}: ${isSaid ? '' : `${kind}, `}${text}`;
  }
  const ends = `${ACTOR_NAMES[from]} ${lost ? '--x' : '-->'} ${ACTOR_NAMES[to]}`;
  const word = kind === 'replay' ? '  [replay]' : lost ? '  [lost]' : '';
  return `${ends.padEnd(27)}${text}${word}`;
}
