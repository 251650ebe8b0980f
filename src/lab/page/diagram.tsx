import { useEffect, useRef } from 'preact/hooks';
import type { Run, RunEvent, Track } from '../run.js';
import { ACTOR_NAMES } from '../words.js';
import { layOut, type Layout, type Placed, type Stretch, type View } from './diagram-layout.js';

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
      style={{ minWidth: `${Math.round(width * 0.62)}px` }}
      role="img"
      aria-label={`Sequence diagram: ${name}. The transcript below says the same in words.`}
    >
      <Patterns />
      {layout.lines.map(({ actor, x }) => (
        <g key={actor}>
          <line class="life" x1={x} x2={x} y1={34} y2={height - 6} />
          <rect class="actor" x={x - 48} y={8} width={96} height={26} rx={5} />
          <text class="actor-name" x={x} y={26}>
            {ACTOR_NAMES[actor]}
          </text>
        </g>
      ))}
      {layout.pauses.map(({ y, text }) => (
        <g key={y}>
          <line class="pause" x1={70} x2={width - 20} y1={y - 6} y2={y - 6} />
          <text class="pause-text" x={width - 22} y={y - 10}>
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
          <rect x={2} y={y - 12} width={86} height={22} rx={11} />
          <text x={45} y={y + 3}>
            {KNOWN[state](text)}
          </text>
        </g>
      ))}
      <text class="column-title" x={45} y={26}>
        client knows
      </text>
    </svg>
  );
}

/** A frame says it as well; the text has no character that a font may lack. */
const KNOWN = {
  ok: (text: string) => text,
  failed: (text: string) => fit(`failed ${text}`, 13),
  unknown: () => '? unknown',
};

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

function StretchOf({ stretch: { kind, x, from, to, text } }: { stretch: Stretch }) {
  if (kind === 'lease')
    return (
      <g class="stretch lease-bar">
        <rect x={x + 5} y={from} width={6} height={Math.max(to - from, 4)} rx={3} />
        <title>{text}</title>
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

interface EventProps {
  placed: Placed;
  isSelected: boolean;
  onSelect?: (event: RunEvent) => void;
}

function EventOf({ placed, isSelected, onSelect }: EventProps) {
  const { event, y, x1, x2 } = placed;
  const { kind, lost } = event;
  const isMark = x1 === x2;
  const classes = [
    'event',
    kind,
    lost && 'lost',
    isSelected && 'selected',
    onSelect && 'clickable',
  ];
  const label = labelOf(placed);
  const drawn = useRef<SVGGElement>(null);
  useEffect(() => {
    if (isSelected) drawn.current?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [isSelected]);
  return (
    <g
      ref={drawn}
      class={classes.filter(Boolean).join(' ')}
      data-seq={event.seq}
      onClick={() => onSelect?.(event)}
    >
      <rect
        class="hit"
        x={isMark ? x1 - 14 : Math.min(x1, x2)}
        y={y - 20}
        width={isMark ? 160 : Math.abs(x2 - x1)}
        height={27}
      />
      {isMark ? <Mark event={event} x={x1} y={y} /> : <Arrow event={event} x1={x1} x2={x2} y={y} />}
      <text
        class="label"
        x={isMark ? x1 + 16 : (x1 + x2) / 2}
        y={isMark ? y + 4 : y - 5}
        text-anchor={isMark ? 'start' : 'middle'}
      >
        {fit(
          kind === 'replay' && !lost ? `replay: ${event.text}` : label,
          isMark ? 34 : (Math.abs(x2 - x1) + 14) / 7,
        )}
      </text>
      <title>{label}</title>
    </g>
  );
}

function labelOf({ event: { kind, text, atMs, untilMs = 0 }, word }: Placed): string {
  if (kind === 'lease' && untilMs > atMs) return `${text}, until ${(untilMs / 1000).toFixed(1)} s`;
  return word && word !== kind ? `${word}: ${text}` : text;
}

function Arrow({ event, x1, x2, y }: { event: RunEvent; x1: number; x2: number; y: number }) {
  const sign = Math.sign(x2 - x1);
  const end = event.lost ? x1 + (x2 - x1) * 0.62 : x2 - sign * 2;
  if (event.kind === 'replay' && !event.lost)
    return (
      <>
        <line class="shaft" x1={x1} x2={end - sign * 8} y1={y - 2} y2={y - 2} />
        <line class="shaft" x1={x1} x2={end} y1={y + 2} y2={y + 2} marker-end="url(#head-replay)" />
      </>
    );
  return (
    <>
      <line
        class="shaft"
        x1={x1}
        x2={end}
        y1={y}
        y2={y}
        marker-end={event.lost ? undefined : 'url(#head)'}
      />
      {event.lost && <path class="cross" d={`M${end - 6} ${y - 6} l12 12 m0 -12 l-12 12`} />}
      {event.kind === 'commit' && <circle class="commit-dot" cx={x1} cy={y} r={5} />}
    </>
  );
}

function Mark({ event: { kind }, x, y }: { event: RunEvent; x: number; y: number }) {
  if (kind === 'started') return <circle class="born" cx={x} cy={y} r={6} />;
  if (kind === 'killed' || kind === 'frozen' || kind === 'resumed') return null;
  return <rect class="tick" x={x - 5} y={y - 3} width={10} height={6} rx={2} />;
}

function fit(text: string, characters: number): string {
  return text.length <= characters
    ? text
    : `${text.slice(0, Math.max(3, Math.floor(characters) - 1))}…`;
}
