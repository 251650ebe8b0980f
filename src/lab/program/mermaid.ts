import type { Actor, Run, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';

/** A run as Mermaid sequence diagrams, one for each track. */
export function mermaidOf(run: Run): string {
  const tracks = [...new Set(run.events.map(({ track }) => track))].sort();
  return tracks.map((track) => diagramOf(run, track)).join('\n');
}

function diagramOf(run: Run, track: Track): string {
  const events = run.events.filter((event) => event.track === track && event.kind !== 'point');
  const actors = (Object.keys(ACTOR_NAMES) as Actor[]).filter((actor) =>
    events.some(({ from, to }) => from === actor || to === actor),
  );
  const lines = ['sequenceDiagram', `    title ${safe(run.title)}, ${track}`];
  for (const actor of actors) lines.push(`    participant ${actor} as ${ACTOR_NAMES[actor]}`);
  for (const { from, to, text, lost, kind } of events) {
    if (from === to) lines.push(`    Note over ${from}: ${safe(text)}`);
    else lines.push(`    ${from}${arrowOf(kind, lost)}${to}: ${safe(text)}`);
  }
  if (run.verdict)
    lines.push(`    Note over ${actors[0] ?? 'client'}: ${safe(run.verdict.sentence)}`);
  return `${lines.join('\n')}\n`;
}

function arrowOf(kind: string, lost: boolean | undefined): string {
  const isAnswer = ['response', 'replay', 'answer', 'commit', 'rollback'].includes(kind);
  if (lost) return isAnswer ? '--x' : '-x';
  return isAnswer ? '-->>' : '->>';
}

/** `;` and `#` have a meaning in Mermaid. */
function safe(text: string): string {
  return text.replaceAll(/[;#]/g, ',').replaceAll('\n', ' ');
}
