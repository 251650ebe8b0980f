import { PROBE_POINTS, type ProbePoint } from '../idempotency/operation.js';

/** Faults of the network: on any POST, PUT or DELETE. */
export const NETWORK_FAULTS = ['lose-request', 'lose-response'] as const;

interface ProcessFault {
  does: 'crash' | 'freeze' | 'delay';
  at: ProbePoint;
}

/** Faults of the process, on operations with three beats: at each point of the engine's probe. */
export const PROCESS_FAULTS: ReadonlyMap<string, ProcessFault> = new Map([
  ...(['crash', 'freeze', 'delay'] as const).flatMap((does) =>
    PROBE_POINTS.map((at): [string, ProcessFault] => [`${does}-${at}`, { does, at }]),
  ),
  ['crash-after-processor', { does: 'crash', at: 'after-perform' }], // its name in the HTTP contract
]);

/** What `Lab-Fault` can name. */
export const FAULT_NAMES: readonly string[] = [...NETWORK_FAULTS, ...PROCESS_FAULTS.keys()];
