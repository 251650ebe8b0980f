import { setTimeout as delay } from 'node:timers/promises';
import type { Track, Verdict } from '../run.js';
import { Lane, type LaneTools } from './lane.js';
import { money } from '../words.js';

/** The lanes and tools of one run of a scenario. */
export class Stage {
  private readonly lanes = new Map<Track, Lane>();

  constructor(
    readonly parameters: Readonly<Record<string, string | number>>,
    /** The faults that the visitor chose: the first for the first attempt, and so on. */
    readonly faults: readonly string[],
    private readonly tools: LaneTools,
  ) {
    for (const account of tools.run.accounts)
      this.lanes.set(account.track, new Lane(account, tools));
  }

  get keyed(): Lane {
    return this.lane('keyed');
  }

  get naive(): Lane {
    return this.lane('naive');
  }

  private lane(track: Track): Lane {
    const lane = this.lanes.get(track);
    if (!lane) throw new Error(`this scenario has no ${track} lane`);
    return lane;
  }

  number(name: string): number {
    return Number(this.parameters[name]);
  }

  text(name: string): string {
    return String(this.parameters[name]);
  }

  /** Waits, unless the visitor stops the run. */
  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.tools.run.stopping.signal });
  }

  /**
   * The sentence below the two lanes, according to the processor's ledger.
   * @param expected how often the customer must have paid with the key.
   */
  async verdict(expected = 1, remark = ''): Promise<Verdict> {
    const payments: Verdict['payments'] = {};
    const parts: string[] = [];
    for (const [track, lane] of [...this.lanes].sort()) {
      const paid = await lane.paid();
      payments[track] = paid.length;
      const what = whatWasPaid(paid.map(({ amount }) => amount));
      parts.push(
        track === 'naive' ? `Without a key: the customer paid ${what}.` : `With the key: ${what}.`,
      );
    }
    parts.sort((a, b) => Number(b.startsWith('Without')) - Number(a.startsWith('Without')));
    const sentence = [...parts, remark].filter(Boolean).join(' ');
    return { sentence: upper(sentence), payments, holds: payments.keyed === expected };
  }
}

/** `2 × $19.99` if all amounts are equal, otherwise `3 times, $60.00 in all`. */
export function whatWasPaid(amounts: number[]): string {
  const [first] = amounts;
  if (first === undefined) return 'nothing';
  if (amounts.every((amount) => amount === first)) return `${amounts.length} × ${money(first)}`;
  return `${amounts.length} times, ${money(amounts.reduce((sum, amount) => sum + amount, 0))} in all`;
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
