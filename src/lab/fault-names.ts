import type { ProbePoint } from '../idempotency/operation.js';

/**
 * Every point of the engine's probe: a missing one does not compile. Not the engine's own list, because that import
 * would load the engine.
 */
const POINTS = Object.keys({
  received: true,
  'before-reserve': true,
  'record-written': true,
  'reserve-written': true,
  'after-reserve': true,
  'before-perform': true,
  'after-perform': true,
  'settle-written': true,
  'after-settle': true,
  released: true,
} satisfies Record<ProbePoint, true>) as ProbePoint[];

/** Faults of the network: on any POST, PUT or DELETE. */
export const NETWORK_FAULTS = ['lose-request', 'lose-response'] as const;

interface ProcessFault {
  does: 'crash' | 'freeze' | 'delay';
  at: ProbePoint;
}

/** Faults of the process, on operations with three beats: at each point of the engine's probe. */
export const PROCESS_FAULTS: ReadonlyMap<string, ProcessFault> = new Map([
  ...(['crash', 'freeze', 'delay'] as const).flatMap((does) =>
    POINTS.map((at): [string, ProcessFault] => [`${does}-${at}`, { does, at }]),
  ),
  ['crash-after-processor', { does: 'crash', at: 'after-perform' }], // its name in the HTTP contract
]);

/** The faults of the HTTP contract, which a refusal lists. The others are for the lab's page only. */
export const DOCUMENTED_PROCESS_FAULTS: readonly string[] = [
  'crash-before-reserve',
  'crash-after-reserve',
  'crash-after-processor',
  'crash-after-settle',
];

/** What `Lab-Fault` can name. */
export const FAULT_NAMES: readonly string[] = [...NETWORK_FAULTS, ...PROCESS_FAULTS.keys()];
