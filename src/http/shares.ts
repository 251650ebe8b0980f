/**
 * Shares slots between accounts and their endpoints: slots in which deliveries wait for other people's servers, or lists
 * for the database. What runs for an endpoint takes its slot for its account, too; it may begin as long as the account's
 * slots, and the endpoint's twice, are fewer than the free ones. So a slow endpoint has a quarter of all slots at most,
 * and all endpoints of an account together have half; the more of them are slow, the fewer slots each has, and there is
 * room for an endpoint that has none. Nothing has to find out which one is slow.
 * (The idea: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.)
 */
export class Shares {
  private readonly running = new Set<readonly string[]>();
  private readonly taken = new Map<string, number>();

  constructor(private readonly slots: number) {}

  /**
   * @param names from the widest to the narrowest: an account and its endpoint.
   * @returns a function that gives the slot back, or undefined if these names have their share.
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

  /** Those that have their share: nothing should begin for them now. */
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
