import { useState } from 'preact/hooks';
import type { Run, RunEvent, Track } from '../run.js';
import { tracksOf, trackTitle } from '../words.js';
import { Details } from './details.js';
import { layOut } from './diagram-layout.js';
import { Diagram } from './diagram.js';
import { PlayerBar, type Player } from './player.js';
import { RowsPanel } from './rows.js';
import { Transcript } from './transcript.js';

export interface RunViewProps {
  run: Run;
  player: Player;
  selected: number | undefined;
  onSelect: (seq: number | undefined) => void;
  onBreak: (fault: string) => void;
}

/** Both tracks of a run side by side: diagram, rows, details. */
export function RunView({ run, player, selected, onSelect, onBreak }: RunViewProps) {
  const [isDetailed, setDetailed] = useState(false);
  const until = player.at;
  const tracks = tracksOf(run);
  const chosen = run.events.find(({ seq }) => seq === selected);
  const now = until === undefined ? Infinity : (run.events[until - 1]?.atMs ?? 0);
  const select = (event: RunEvent) => onSelect(event.seq);
  return (
    <div class="run">
      <div class="run-tools">
        <PlayerBar player={player} run={run} />
        <label>
          <input
            type="checkbox"
            checked={isDetailed}
            onChange={(event) => setDetailed(event.currentTarget.checked)}
          />{' '}
          every statement and point
        </label>
        <Exports id={run.id} />
      </div>
      <p class="state" role="status">
        {stateOf(run)}
      </p>
      <div class={`tracks tracks-${tracks.length}`} style={widthsOf(run, tracks)}>
        {tracks.map((track) => (
          <section key={track} class={`track ${track}`} aria-label={trackTitle(run, track)}>
            <h3>{trackTitle(run, track)}</h3>
            <div
              class="scroll"
              tabIndex={0}
              role="group"
              aria-label={`Diagram ${trackTitle(run, track)}`}
            >
              <Diagram {...{ run, track, selected, isDetailed, until }} onSelect={select} />
            </div>
            <RowsPanel run={run} track={track} atMs={now} />
          </section>
        ))}
        {chosen && <Details event={chosen} onBreak={onBreak} onClose={() => onSelect(undefined)} />}
      </div>
      <Transcript run={run} until={until} selected={selected} onSelect={select} />
    </div>
  );
}

/** A track with more lines gets more width, so that both are drawn at the same scale. */
function widthsOf(run: Run, tracks: readonly Track[]): Record<string, string> {
  const widths = tracks.map((track) => [
    `--${track}`,
    `${layOut(run, track, { isDetailed: false, until: 0 }).width}fr`,
  ]);
  return Object.fromEntries(widths) as Record<string, string>;
}

/** The current state in words, so that an audience knows why nothing moves. */
function stateOf({ state, events }: Run): string {
  if (state === 'failed') {
    const why = events.findLast(({ from }) => from === 'lab')?.text ?? '';
    return why.startsWith('the run failed') ? `${upper(why)}.` : 'The run was stopped.';
  }
  if (state === 'ended') return '';
  const last = events.findLast(({ kind }) =>
    ['killed', 'started', 'frozen', 'resumed'].includes(kind),
  );
  if (last?.kind === 'killed') return 'The process is dead. Its supervisor starts it again …';
  if (last?.kind === 'frozen')
    return 'The process is frozen. Its lease runs out, and another one takes over …';
  return 'Running …';
}

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function Exports({ id }: { id: string }) {
  return (
    <span class="exports">
      {['svg', 'mmd', 'json', 'html'].map((format) => (
        <a key={format} href={`/runs/${id}.${format}`} download={`run-${id}.${format}`}>
          {format === 'mmd' ? 'Mermaid' : format.toUpperCase()}
        </a>
      ))}
      <a href={`/runs/${id}`}>link</a>
    </span>
  );
}
