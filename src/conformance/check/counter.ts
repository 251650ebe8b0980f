import { setTimeout as delay } from 'node:timers/promises';
import { atPath } from '../profile/body.js';
import type { Account, Profile } from '../profile/profile.js';
import { Failed } from './case.js';
import type { Purchase } from './api.js';

/** How many objects a purchase made, exactly or within limits. */
export type Expected = [purchase: Purchase, made: number | { min: number; max: number }];

/** An object may show up in a list a moment after the answer. */
const PATIENCE_MS = 2000;
const PAUSE_MS = 50;

/** Counts objects by the reference in them, or by a total that the API gives. */
export class Counter {
  private before = 0;
  /** With a total, all that the case has made so far. */
  private readonly expected = new Map<Purchase, { min: number; max: number }>();

  constructor(
    private readonly profile: Profile,
    private readonly read: (account: Account) => Promise<unknown>,
  ) {}

  async begin(): Promise<void> {
    if (this.profile.count.number !== undefined) this.before = await this.total();
  }

  /** @throws Failed */
  async expect(...expected: Expected[]): Promise<void> {
    await delay(this.profile.timing.settleMs);
    for (const [purchase, made] of expected)
      this.expected.set(purchase, typeof made === 'number' ? { min: made, max: made } : made);
    if (this.profile.count.number !== undefined) {
      const limits = [...this.expected.values()];
      const sum = (end: 'min' | 'max') => limits.reduce((total, each) => total + each[end], 0);
      const made = async () => (await this.total()) - this.before;
      return hold(made, { min: sum('min'), max: sum('max') });
    }
    for (const [purchase] of expected)
      await hold(() => this.made(purchase), this.expected.get(purchase)!);
  }

  private async total(): Promise<number> {
    const { number = '', path } = this.profile.count;
    const total = atPath(await this.read(this.profile.accounts[0]!), number);
    if (typeof total !== 'number') throw new Failed(`GET ${path} has no number at ${number}`);
    return total;
  }

  private async made({ account, reference }: Purchase): Promise<number> {
    const { items = '', reference: place = '', path } = this.profile.count;
    const list = atPath(await this.read(account), items);
    if (!Array.isArray(list)) throw new Failed(`GET ${path} has no list at ${items}`);
    return list.filter((item) => contains(atPath(item, place), reference)).length;
  }
}

/** A reference may be a part of a longer text. */
function contains(value: unknown, reference: string): boolean {
  return typeof value === 'string' && value.includes(reference);
}

async function hold(
  count: () => Promise<number>,
  { min, max }: { min: number; max: number },
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  let made = await count();
  while (made < min && performance.now() < deadline) {
    await delay(PAUSE_MS);
    made = await count();
  }
  if (made >= min && made <= max) return;
  const wanted = min === max ? `${max}` : `${min} to ${max}`;
  throw new Failed(`${made} objects were made, not ${wanted}`);
}
