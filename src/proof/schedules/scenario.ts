import type { Kind } from './actors.js';

/** Which actors meet on one key, and what else may happen between their statements. */
export interface Scenario {
  /** For example `request+sweep/order/lease`. */
  name: string;
  actors: Kind[];
  /** The charge pays an order: transactions of many statements. */
  order: boolean;
  /** The lease of a live process may end once, at any moment: the process was asleep. */
  lease: boolean;
  /** The stored answer may expire once, at any moment. */
  expiry: boolean;
  /** One actor may crash once, before any of its statements. */
  crash: boolean;
}

const KINDS: readonly string[] = [
  'request',
  'other',
  'sweep',
  'reaper',
  'notification',
] satisfies Kind[];
const EVENTS = ['order', 'lease', 'expiry', 'crash'] as const;

/** @throws Error if the name has an unknown part. */
export function scenarioOf(name: string): Scenario {
  const [met = '', ...events] = name.split('/');
  const actors = met.split('+');
  const isKnown = (part: string) => (EVENTS as readonly string[]).includes(part);
  const unknown = [
    ...actors.filter((actor) => !KINDS.includes(actor)),
    ...events.filter((event) => !isKnown(event)),
  ];
  if (unknown.length > 0) throw new Error(`${name}: ${unknown.join(', ')} is not known`);
  const has = Object.fromEntries(EVENTS.map((event) => [event, events.includes(event)]));
  return { name, actors: actors as Kind[], ...(has as Record<(typeof EVENTS)[number], boolean>) };
}

/** Held by `npm test`. */
export const TWO = [
  'request+request',
  'request+request/order',
] as const;

/** Run by `npm run proof -- --schedules`. */
export const THREE = [
  'request+request+request',
] as const;
