import { seededRandom } from '../local/random.js';

/** Random numbers that a seed repeats. The timing of processes and networks is not repeated. */
export class Random {
  /** At least 0, less than 1. */
  readonly next: () => number;

  constructor(seed: number) {
    this.next = seededRandom(seed);
  }

  /** At least `min`, less than `max`. */
  between(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length)]!;
  }

  /** @param shares a name's share of their sum is its probability */
  weighted<Name extends string>(shares: Record<Name, number>): Name {
    const all = Object.entries(shares) as [Name, number][];
    let left = this.next() * all.reduce((sum, [, share]) => sum + share, 0);
    return (all.find(([, share]) => (left -= share) < 0) ?? all.at(-1)!)[0];
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.between(0, i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
    }
    return shuffled;
  }

  /** An independent generator. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 4_294_967_296));
  }
}
