import type { StormTick, Track } from '../run.js';

export interface Point extends StormTick {
  atMs: number;
}

/** In thousandths of the width. Marks of one client that are closer than this and mean the same are drawn once. */
const CROWD = 60;

/** The distance between the lines of two clients. */
const LINE = 17;

/** What each client believed, and when. */
export function Timeline({ track, points }: { track: Track; points: Point[] }) {
  const end = Math.max(...points.map(({ atMs }) => atMs), 5_000);
  const clients = [...new Set(points.map(({ client }) => client))].sort(
    (one, other) => one - other,
  );
  const height = 24 + clients.length * LINE;
  return (
    <svg
      class="timeline"
      viewBox={`0 0 1000 ${height}`}
      role="img"
      aria-label={`What each client believed, ${track}: ${points.filter(({ believed }) => believed === 'unknown').length} times unknown, ${points.filter(({ believed }) => believed === 'ok').length} times ok.`}
    >
      <text class="timeline-title" x={4} y={14}>
        {track === 'keyed' ? 'With the key' : 'Without a key'}: a line for each client,{' '}
        {(end / 1000).toFixed(0)} s
      </text>
      {clients.map((client, row) => (
        <line
          key={client}
          class="life"
          x1={0}
          x2={1000}
          y1={30 + row * LINE}
          y2={30 + row * LINE}
        />
      ))}
      {marksOf(points, (CROWD / 1000) * end).map(({ client, atMs, believed, fault }, i) => (
        <Mark
          key={i}
          x={8 + (atMs / end) * 984}
          y={30 + clients.indexOf(client) * LINE}
          shape={fault.startsWith('crash') ? 'kill' : believed}
          end={height}
        />
      ))}
    </svg>
  );
}

/** While the API is dead each client retries: one mark stands for all its retries. */
function marksOf(points: readonly Point[], crowdMs: number): Point[] {
  const last = new Map<number, Point>();
  return points.filter((point) => {
    const before = last.get(point.client);
    const isCrowd =
      before?.believed === point.believed &&
      point.believed !== 'ok' &&
      !point.fault &&
      point.atMs - before.atMs < crowdMs;
    if (!isCrowd) last.set(point.client, point);
    return !isCrowd;
  });
}

type Shape = Point['believed'] | 'kill';

/** Each kind has its own shape: a dot, a ring with a gap, a cross, a line through all clients. */
function Mark({ x, y, shape, end }: { x: number; y: number; shape: Shape; end: number }) {
  if (shape === 'ok') return <circle class="storm-mark ok" cx={x} cy={y} r={5} />;
  if (shape === 'unknown')
    return <circle class="storm-mark unknown" cx={x} cy={y} r={4.5} stroke-dasharray="5 2" />;
  return (
    <g class={`storm-mark ${shape}`}>
      {shape === 'kill' && <line x1={x} x2={x} y1={20} y2={end} />}
      <path d={`M${x - 5} ${y - 5} l10 10 m0 -10 l-10 10`} />
    </g>
  );
}

export function Legend() {
  return (
    <p class="legend">
      {LEGEND.map(([shape, text]) => (
        <span key={shape}>
          <svg class="legend-mark" viewBox="0 0 20 20" aria-hidden="true">
            <Mark x={10} y={10} shape={shape} end={20} />
          </svg>{' '}
          {text}
        </span>
      ))}
    </p>
  );
}

const LEGEND: [Shape, string][] = [
  ['ok', 'the client knows: paid'],
  ['unknown', 'the client does not know'],
  ['failed', 'refused'],
  ['kill', 'the API is killed'],
];
