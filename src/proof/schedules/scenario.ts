import type { Kind } from './actors.js';

/** Which actors meet on one key, and what else may happen between their statements. */
export interface Scenario {
  /** For example `request+sweep/order/lease`. */
  name: string;
  actors: Kind[];
  /** The charge pays an order: transactions of many statements. */
  order: boolean;
  /** The lease of a live process may end once, at any moment: the process was suspended. */
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

/** Two actors, with the number of schedules. `npm test` runs these. */
export const TWO: Readonly<Record<string, number>> = {
  'request+request': 6,
  'request+other': 6,
  'request+notification': 5,
  'request+sweep': 4,
  'request+request/crash': 18,
  'request+notification/crash': 38,
  'request+request/expiry': 12,
  'request+reaper/expiry': 5,
  'request+sweep/lease': 145,
  'request+request/order': 36,
  'request+other/order': 36,
  'request+notification/order': 121,
  'request+request/order/crash': 280,
};

/** `npm run proof -- --schedules` runs these, from the smallest to the largest. */
export const MORE: readonly string[] = [
  'request+request+request',
  'request+request+other',
  'request+request+notification',
  'request+other+notification',
  'request+request+reaper/expiry',
  'request+request/order/lease',
  'request+notification/order/crash',
  'request+request/lease',
  'request+sweep/lease/crash',
  'request+request+notification/crash',
  'request+sweep/order/lease',
  'request+request+request/order',
  'request+request+request/crash',
];
