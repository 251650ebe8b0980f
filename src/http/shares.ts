/**
 * Shares slots between accounts and their endpoints: slots for webhook deliveries in flight, or for lists that read
 * the database. A delivery takes a slot of its endpoint and of its account. It may start while the account's slots,
 * and twice the endpoint's slots, are fewer than the free slots. So a slow endpoint gets at most a quarter of all
 * slots, and all endpoints of an account together at most half. The more endpoints are slow, the fewer slots each
 * gets, and an endpoint without slots still finds one. Nothing needs to detect which endpoint is slow. Source:
 * Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.
 */
export class Shares {
  private readonly running = new Set<readonly string[]>();
  private readonly taken = new Map<string, number>();

  constructor(private readonly slots: number) {}

  /**
   * @param names from the widest to the narrowest: an account and its endpoint.
   * @returns a function that releases the slot, or undefined if these names already have their share.
   */
  take(names: readonly string[]): (() => void) | undefined {
    if (this.running.size >= this.slots || this.nameWithoutRoom(names) !== undefined)
      return undefined;
    const run = [...names];
    this.running.add(run);
    for (const name of run) this.count(name, 1);
    return () => {
      if (!this.running.delete(run)) return;
      for (const name of run) this.count(name, -1);
    };
  }

  /** The names that already have their share: start nothing for them now. */
  full(): string[] {
    const full = [...this.running].map((names) => this.nameWithoutRoom(names));
    return [...new Set(full.filter((name) => name !== undefined))];
  }

  private nameWithoutRoom(names: readonly string[]): string | undefined {
    let room = this.slots - this.running.size;
    return names.find((name, depth) => (room -= (depth + 1) * (this.taken.get(name) ?? 0)) <= 0);
  }

  private count(name: string, by: number): void {
    const taken = (this.taken.get(name) ?? 0) + by;
    if (taken === 0) this.taken.delete(name);
    else this.taken.set(name, taken);
  }
}
