import type { Knowledge, Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';
import { EventOf } from './diagram-event.js';
import { layOut, type Layout, type Stretch, type View } from './diagram-layout.js';

export interface DiagramProps extends View {
  run: Run;
  track: Track;
  selected?: number;
  onSelect?: (event: RunEvent) => void;
}

/** A run as a sequence diagram: time goes down, one line for each process. */
export function Diagram({ run, track, selected, onSelect, ...view }: DiagramProps) {
  const layout = layOut(run, track, view);
  const { width, height } = layout;
  const name = `${run.title}, ${track === 'keyed' ? 'with the key' : 'without a key'}`;
  return (
    <svg
      class="diagram"
      xmlns="http://www.w3.org/2000/svg"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      style={{ minWidth: `${width * 0.75}px`, maxWidth: `${width * 1.4}px` }}
      role="img"
      aria-label={`Sequence diagram: ${name}. The transcript below says the same in words.`}
    >
      <Patterns />
      {layout.lines.map(({ actor, x }) => (
        <g key={actor}>
          <line class="life" x1={x} x2={x} y1={34} y2={height - 6} />
          <rect class="actor" x={x - 47} y={8} width={94} height={26} rx={5} />
          <text class="actor-name" x={x} y={26}>
            {ACTOR_NAMES[actor]}
          </text>
        </g>
      ))}
      {layout.pauses.map(({ y, text }) => (
        <g key={y}>
          <line class="pause" x1={KNOWN_WIDTH} x2={width - 4} y1={y} y2={y} />
          <text class="pause-text" x={width - 6} y={y - 4}>
            {text} later
          </text>
        </g>
      ))}
      {layout.stretches.map((stretch) => (
        <StretchOf key={`${stretch.kind}${stretch.from}`} stretch={stretch} />
      ))}
      <Ties layout={layout} />
      {layout.events.map((placed) => (
        <EventOf
          key={placed.event.seq}
          placed={placed}
          isSelected={placed.event.seq === selected}
          onSelect={onSelect}
        />
      ))}
      {layout.knowledge.map(({ y, state, text }, i) => (
        <g key={i} class={`knows ${state}`}>
          <rect x={2} y={y - 12} width={KNOWN_WIDTH} height={22} rx={11} />
          <text x={2 + KNOWN_WIDTH / 2} y={y + 3}>
            {knownText(state, text)}
          </text>
          <title>{text}</title>
        </g>
      ))}
      <text class="column-title" x={2 + KNOWN_WIDTH / 2} y={26}>
        client knows
      </text>
    </svg>
  );
}

/** The left column, which shows what the client knows. */
const KNOWN_WIDTH = 122;

/** `ok 201, replayed`, `failed 409`. The shape of its frame shows the same. */
function knownText(state: Knowledge['state'], text: string): string {
  if (state === 'unknown') return '? unknown';
  return `${state} ${/^\d{3}(, replayed)?/.exec(text)?.[0] ?? ''}`.trim();
}

function Patterns() {
  return (
    <defs>
      <pattern
        id="hatch"
        width="7"
        height="7"
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(45)"
      >
        <line class="hatch" x1="0" y1="0" x2="0" y2="7" />
      </pattern>
      <marker
        id="head"
        viewBox="0 0 10 10"
        refX="9"
        refY="5"
        markerWidth="7"
        markerHeight="7"
        orient="auto"
      >
        <path class="head" d="M0 0 L10 5 L0 10 z" />
      </marker>
      <marker
        id="head-replay"
        viewBox="0 0 10 10"
        refX="9"
        refY="5"
        markerWidth="8"
        markerHeight="8"
        orient="auto"
      >
        <path class="head-replay" d="M0 5 L5 0 L10 5 L5 10 z" />
      </marker>
    </defs>
  );
}

function StretchOf({ stretch }: { stretch: Stretch }) {
  const { kind, x, from, to, text, hasRunOut, place = 0 } = stretch;
  if (kind === 'fault')
    return (
      <g class="stretch fault-bar">
        <rect x={x - 13 - place * 9} y={from - 4} width={7} height={Math.max(to - from, 0) + 8} />
        <title>{text}</title>
      </g>
    );
  if (kind === 'lease')
    return (
      <g class="stretch lease-bar">
        <rect x={x + 5} y={from} width={6} height={Math.max(to - from, 4)} rx={3} />
        <title>{text}</title>
        {hasRunOut && <path d={`M${x - 2} ${to} h20`} />}
        {hasRunOut && (
          <text class="label" x={x + 22} y={to + 4}>
            the lease runs out
          </text>
        )}
      </g>
    );
  return (
    <g class={`stretch ${kind}`}>
      <rect x={x - 9} y={from} width={18} height={Math.max(to - from, 8)} />
      {kind === 'dead' && <path d={`M${x - 8} ${from - 8} l16 16 m0 -16 l-16 16`} />}
    </g>
  );
}

function Ties({ layout: { ties, lines } }: { layout: Layout }) {
  const x = lines[0]?.x ?? 0;
  return (
    <>
      {ties.map(({ from, to, text }, i) => (
        <g key={i} class="tie">
          <path d={`M${x} ${from} C ${x - 26} ${from}, ${x - 26} ${to}, ${x} ${to}`} />
          <title>{text}: the same purchase</title>
        </g>
      ))}
    </>
  );
}
