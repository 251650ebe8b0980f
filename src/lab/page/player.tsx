import { useEffect, useState } from 'preact/hooks';
import type { Run } from '../run.js';
import { Icon } from './icon.js';

/** How long a replay shows each event, at speed 1. */
const STEP_MS = 420;
const SPEEDS = [0.5, 1, 2, 4];

export interface Player {
  /** The last event that is shown; undefined while the run is followed live. */
  at: number | undefined;
  isPlaying: boolean;
  speed: number;
  step: (by: number) => void;
  seek: (to: number | undefined) => void;
  toggle: () => void;
  setSpeed: (speed: number) => void;
}

/** Step, back, replay, pause and speed for a run. */
export function usePlayer(run: Run | undefined): Player {
  const [at, setAt] = useState<number | undefined>(undefined);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const last = run?.events.length ?? 0;
  useEffect(() => {
    setAt(undefined);
    setPlaying(false);
  }, [run?.id]);
  useEffect(() => {
    if (!isPlaying) return;
    const timer = setInterval(() => {
      setAt((now = 0) => {
        if (now + 1 >= last) setPlaying(false);
        return Math.min(now + 1, last);
      });
    }, STEP_MS / speed);
    return () => clearInterval(timer);
  }, [isPlaying, speed, last]);
  const seek = (to: number | undefined) => {
    setPlaying(false);
    setAt(to === undefined ? undefined : Math.max(0, Math.min(to, last)));
  };
  return {
    ...{ at, isPlaying, speed, setSpeed, seek },
    step: (by) => seek((at ?? last) + by),
    toggle: () => {
      if (!isPlaying && (at ?? last) >= last) setAt(0); // from the beginning
      setPlaying(!isPlaying);
    },
  };
}

export function PlayerBar({ player, run }: { player: Player; run: Run }) {
  const { at, isPlaying, speed, step, seek, toggle, setSpeed } = player;
  const last = run.events.length;
  const now = run.events[(at ?? last) - 1];
  return (
    <div class="player" role="group" aria-label="Replay">
      <button type="button" onClick={() => step(-1)} aria-label="Step back">
        <Icon name="back" />
      </button>
      <button type="button" onClick={toggle}>
        {isPlaying ? 'Pause' : 'Replay'}
      </button>
      <button type="button" onClick={() => step(1)} aria-label="Step forward">
        <Icon name="forward" />
      </button>
      <input
        type="range"
        min={0}
        max={last}
        value={at ?? last}
        aria-label="Time"
        aria-valuetext={now ? `${(now.atMs / 1000).toFixed(1)} s, ${now.text}` : 'the beginning'}
        onInput={(event) => seek(Number(event.currentTarget.value))}
      />
      <output>{now ? `${(now.atMs / 1000).toFixed(1)} s` : '0 s'}</output>
      <label>
        speed{' '}
        <select value={speed} onChange={(event) => setSpeed(Number(event.currentTarget.value))}>
          {SPEEDS.map((each) => (
            <option key={each} value={each}>
              {each}×
            </option>
          ))}
        </select>
      </label>
      {at !== undefined && (
        <button type="button" onClick={() => seek(undefined)}>
          Show all
        </button>
      )}
    </div>
  );
}
