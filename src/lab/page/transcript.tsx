import type { Run, RunEvent } from '../run.js';
import { ACTOR_NAMES } from '../words.js';

export interface TranscriptProps {
  run: Run;
  until: number | undefined;
  selected: number | undefined;
  onSelect: (event: RunEvent) => void;
}

/** The diagram in words: for screen readers, for the keyboard, and for copying. */
export function Transcript({ run, until = Infinity, selected, onSelect }: TranscriptProps) {
  return (
    <details class="transcript">
      <summary>Transcript: {run.events.length} events, in order</summary>
      <ol>
        {run.events
          .filter(({ seq }) => seq <= until)
          .map((event) => (
            <li key={event.seq}>
              <button
                type="button"
                class="plain"
                aria-pressed={event.seq === selected}
                onClick={() => onSelect(event)}
              >
                {sentenceOf(event)}
              </button>
            </li>
          ))}
      </ol>
    </details>
  );
}

export function sentenceOf({ atMs, track, from, to, kind, text, lost }: RunEvent): string {
  const at = `${(atMs / 1000).toFixed(2)} s`;
  const lane = track === 'keyed' ? 'with the key' : 'without a key';
  const who = from === to ? ACTOR_NAMES[from] : `${ACTOR_NAMES[from]} to ${ACTOR_NAMES[to]}`;
  return `${at}, ${lane}. ${who}: ${kind}, ${text}${lost ? '. It is lost' : ''}.`;
}
