import type { Toxic } from './links/link.js';
import { MISBEHAVIOURS } from './purposes.js';
import type { CrashPoint } from './workload.js';
import type { LinkName, ProgramName } from './world/world.js';

/** What a campaign must do at least once: an action at a fault point. */
export type Cell =
  | { point: LinkName; action: Toxic }
  | { point: ProgramName; action: 'SIGKILL' | 'SIGSTOP past the lease' }
  | { point: 'api' | 'worker'; action: 'clock jump' }
  | { point: 'api'; action: CrashPoint }
  | { point: 'postgres'; action: (typeof ON_POSTGRES)[number] }
  | { point: 'processor'; action: (typeof MISBEHAVIOURS)[number] };

const ON_POSTGRES = ['SIGKILL', 'a session SIGKILL', 'a session terminated', 'disk full'] as const;

const ON_LINKS: Record<LinkName, Toxic[]> = {
  'client → api': [
    ...(['latency', 'slicer', 'reset', 'hang', 'lose-request', 'cut-request'] as const),
    ...(['swallow-answer', 'cut-answer', 'twice', 'late'] as const),
  ],
  'api → postgres': ['latency', 'reset', 'pause', 'commit-lost', 'commit-answer'],
  'worker → postgres': ['reset', 'pause', 'commit-answer'],
  'processor → postgres': ['reset'],
  'api → processor': [
    ...(['latency', 'refuse', 'reset', 'hang', 'cut-request'] as const),
    ...(['swallow-answer', 'cut-answer', 'twice', 'late'] as const),
  ],
  'worker → processor': ['refuse', 'swallow-answer'],
  'processor → api': ['refuse', 'swallow-answer', 'twice', 'late'],
  'worker → mail': ['refuse', 'swallow-answer'],
  'worker → merchant': ['refuse', 'swallow-answer', 'hang'],
};

const PROGRAMS: Cell[] = (['api', 'worker', 'processor'] as const).flatMap((point) => [
  { point, action: 'SIGKILL' as const },
  { point, action: 'SIGSTOP past the lease' as const },
]);

const CLOCKS: Cell[] = (['api', 'worker'] as const).map((point) => ({
  point,
  action: 'clock jump',
}));

const CRASHES: Cell[] = (
  [
    'crash-before-reserve',
    'crash-after-reserve',
    'crash-after-processor',
    'crash-after-settle',
  ] as const
).map((action) => ({ point: 'api', action }));

const POSTGRES: Cell[] = ON_POSTGRES.map((action) => ({ point: 'postgres', action }));

/** Every cell. One round takes about three minutes. */
export const WHOLE_PLAN: Cell[] = [
  ...(Object.entries(ON_LINKS) as [LinkName, Toxic[]][]).flatMap(([point, toxics]) =>
    toxics.map((action) => ({ point, action })),
  ),
  ...PROGRAMS,
  ...CLOCKS,
  ...CRASHES,
  ...POSTGRES,
  ...MISBEHAVIOURS.map((action) => ({ point: 'processor' as const, action })),
];

export const nameOf = ({ point, action }: Cell) => `${point} × ${action}`;

/** The cells that a campaign of less than three minutes can hit: one or two of each kind. */
const SHORT = new Set([
  ...['client → api × swallow-answer', 'client → api × twice', 'api → postgres × commit-answer'],
  ...['api → processor × swallow-answer', 'api × SIGKILL', 'api × crash-after-processor'],
  ...['postgres × SIGKILL', 'worker × SIGKILL'],
]);

export function planFor(minutes: number): Cell[] {
  return minutes < 3 ? WHOLE_PLAN.filter((cell) => SHORT.has(nameOf(cell))) : WHOLE_PLAN;
}
