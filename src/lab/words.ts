import type { Actor, Rows, Run, Track } from './run.js';

// How the page, the terminal and the exports name things. Imports types only, so that the browser can load it.

/** From left to right, as the diagrams draw them. */
export const ACTOR_NAMES: Readonly<Record<Actor, string>> = {
  client: 'client',
  api: 'API',
  database: 'PostgreSQL',
  processor: 'processor',
  worker: 'worker',
  mail: 'mail',
  receiver: 'receiver',
  lab: 'lab',
};

export const TRACK_TITLES: Readonly<Record<Track, string>> = {
  naive: 'Without a key',
  keyed: 'With the key',
};

/** Runs with one track, whose title names it: the design of the gallery, or the rule that a witness breaks. */
const NAMED = ['gallery', 'witness'];

export function trackTitle({ scenario, title }: Run, track: Track): string {
  return NAMED.includes(scenario) ? title.slice(0, title.indexOf(':')) : TRACK_TITLES[track];
}

/** The tracks that a run has, in the order in which they are shown. */
export function tracksOf(run: Run): Track[] {
  return (['naive', 'keyed'] as const).filter((track) =>
    run.events.some((event) => event.track === track),
  );
}

/** The line below the tables. Receipts are named only where the customer asked for one. */
export function reconcileText({ tables, reconciled }: Rows): string {
  const { charges, payments, receipts } = reconciled;
  const isAsked = tables.some(({ name }) => name === 'e-mails');
  return `charges ${charges} · payments ${payments}${isAsked ? ` · receipts ${receipts}` : ''}`;
}

/** @param minor US cents. */
export function money(minor: number): string {
  return `$${(minor / 100).toFixed(2)}`;
}
