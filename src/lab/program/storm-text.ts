import type { Run, StormEvent } from '../run.js';
import { TRACK_TITLES } from '../words.js';

/** How far a storm has come, in one line. */
export function stormProgress(ticks: readonly StormEvent[]): string {
  const { atMs = 0, naive = 0, ours = 0 } = ticks.at(-1) ?? {};
  const seconds = `${(atMs / 1000).toFixed(0)} s`.padStart(6);
  return `${seconds}   ${purchasesIn(ticks)} purchases begun   paid without a key ${naive}, with the key ${ours}`;
}

/** The result of a storm as plain text, for a terminal or a slide. @param url the lab's URL. */
export function stormText(run: Run, ticks: readonly StormEvent[], url: string): string {
  const { verdict } = run;
  if (!verdict) return `The storm has ended without a result: ${run.state}.`;
  const purchases = purchasesIn(ticks);
  const row = (name: string, payments: number) =>
    [name.padEnd(16), ...[payments, purchases, payments - purchases].map(cell)].join('');
  const unknown = ticks.filter(({ believed }) => believed === 'unknown').length;
  const kills = ticks.filter(({ fault }) => fault.startsWith('crash-')).length;
  return [
    `Storm, seed ${run.parameters.seed}. Messages are lost, and the API is killed.`,
    '',
    [''.padEnd(16), ...['payments', 'purchases', 'too many'].map(cell)].join(''),
    row(TRACK_TITLES.naive, verdict.payments.naive ?? 0),
    row(TRACK_TITLES.keyed, verdict.payments.keyed ?? 0),
    '',
    `Kills: ${kills}. ${unknown} of ${ticks.length} attempts ended without an answer.`,
    ...(verdict.example ? [`One purchase as a diagram: ${url}/runs/${verdict.example}`] : []),
  ].join('\n');
}

function purchasesIn(ticks: readonly StormEvent[]): number {
  return new Set(ticks.map(({ purchase }) => purchase)).size;
}

const cell = (value: string | number) => String(value).padStart(12);
