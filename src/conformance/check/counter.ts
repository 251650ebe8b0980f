import { setTimeout as delay } from 'node:timers/promises';
import { atPath } from '../profile/body.js';
import type { Account, Profile } from '../profile/profile.js';
import { Failed } from './verdict.js';
import type { Purchase } from './purchase.js';

interface Range {
  min: number;
  max: number;
}

/** How many objects a purchase made, exactly or within a range. */
export type Expected = [purchase: Purchase, made: number | Range];

/** A list may show a new object only a moment after the answer. */
const PATIENCE_MS = 2000;
const PAUSE_MS = 50;

/** Counts objects by the reference in them, or by a total that the API shows. */
export class Counter {
  private before = 0;
  /** All expectations of the case so far: a total includes their objects. */
  private readonly expected = new Map<Purchase, Range>();

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
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const wrong =
        this.profile.count.number === undefined
          ? await this.wrongReference(expected.map(([purchase]) => purchase))
          : await this.wrongTotal();
      if (!wrong) return;
      if (wrong.made > wrong.max || performance.now() > deadline) throw new Failed(textOf(wrong));
      await delay(PAUSE_MS);
    }
  }

  /** The first purchase whose objects are too few or too many. */
  private async wrongReference(purchases: Purchase[]): Promise<Counted | undefined> {
    const lists = new Map<Account, unknown[]>();
    for (const { account } of purchases)
      if (!lists.has(account)) lists.set(account, await this.list(account));
    const place = this.profile.count.reference ?? '';
    return purchases
      .map((purchase) => ({
        made: lists
          .get(purchase.account)!
          .filter((item) => contains(atPath(item, place), purchase.reference)).length,
        ...this.expected.get(purchase)!,
      }))
      .find(({ made, min, max }) => made < min || made > max);
  }

  private async wrongTotal(): Promise<Counted | undefined> {
    const ranges = [...this.expected.values()];
    const sum = (end: keyof Range) => ranges.reduce((total, each) => total + each[end], 0);
    const counted = { made: (await this.total()) - this.before, min: sum('min'), max: sum('max') };
    const { made, min, max } = counted;
    return made < min || made > max ? counted : undefined;
  }

  private async total(): Promise<number> {
    const { number = '', path } = this.profile.count;
    const total = atPath(await this.read(this.profile.accounts[0]!), number);
    if (typeof total !== 'number') throw new Failed(`GET ${path} has no number at ${number}`);
    return total;
  }

  private async list(account: Account): Promise<unknown[]> {
    const { items = '', path } = this.profile.count;
    const list = atPath(await this.read(account), items);
    if (!Array.isArray(list)) throw new Failed(`GET ${path} has no list at ${items}`);
    return list;
  }
}

interface Counted extends Range {
  made: number;
}

/** A reference may be part of a longer text. */
function contains(value: unknown, reference: string): boolean {
  return typeof value === 'string' && value.includes(reference);
}

function textOf({ made, min, max }: Counted): string {
  const wanted = min === max ? `${max}` : `${min} to ${max}`;
  return `${made} ${made === 1 ? 'object was' : 'objects were'} made, not ${wanted}`;
}
