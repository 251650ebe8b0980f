import { useEffect, useRef } from 'preact/hooks';
import type { RunEvent } from '../run.js';
import { CHARACTER, type Placed } from './diagram-layout.js';

interface EventProps {
  placed: Placed;
  isSelected: boolean;
  onSelect?: (event: RunEvent) => void;
}

/** One event: an arrow, a mark on one line, or a note across all lines. */
export function EventOf({ placed, isSelected, onSelect }: EventProps) {
  const { event, y, x1, x2, label } = placed;
  const { kind, lost } = event;
  const isMark = x1 === x2;
  const classes = [
    'event',
    kind,
    lost && 'lost',
    isSelected && 'selected',
    onSelect && 'clickable',
  ];
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
      {event.from === 'lab' && <rect class="note-paper" {...boxOf(placed)} rx={11} />}
      <rect class="hit" {...boxOf(placed)} />
      {isMark ? <Mark event={event} x={x1} y={y} /> : <Arrow event={event} x1={x1} x2={x2} y={y} />}
      <text class="label" x={label.x} y={isMark ? y + 4 : y - 5} text-anchor={label.anchor}>
        {label.shown}
      </text>
      <title>{label.text}</title>
    </g>
  );
}

/** The area of an event and its label in which it can be clicked. */
function boxOf({ event, y, x1, x2, label: { shown, x, anchor } }: Placed) {
  // Computed from the widest character: the label must fit its box in any font.
  const length = shown.length * CHARACTER * (event.from === 'lab' ? 1.15 : 1);
  const start = anchor === 'start' ? x : anchor === 'end' ? x - length : x - length / 2;
  const ends = [start, start + length, ...(event.from === 'lab' ? [] : [x1, x2])];
  const left = Math.min(...ends) - 8;
  return {
    x: left,
    y: x1 === x2 ? y - 14 : y - 21,
    width: Math.max(...ends) + 8 - left,
    height: 28,
  };
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

function Mark({ event: { kind, from }, x, y }: { event: RunEvent; x: number; y: number }) {
  if (kind === 'started') return <circle class="born" cx={x} cy={y} r={6} />;
  if (from === 'lab' || kind === 'killed' || kind === 'frozen' || kind === 'resumed') return null;
  return <rect class="tick" x={x - 5} y={y - 3} width={10} height={6} rx={2} />;
}
