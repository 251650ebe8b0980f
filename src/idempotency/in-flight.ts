/** Work that a loop has started and does not wait for, by name, so that slow work does not delay the rest. */
export class InFlight {
  private readonly work = new Map<string, Promise<void>>();

  /** @param onEnded called each time that work has ended and its name is free again. */
  constructor(private readonly onEnded: () => void = () => undefined) {}

  get size(): number {
    return this.work.size;
  }

  names(): string[] {
    return [...this.work.keys()];
  }

  has(name: string): boolean {
    return this.work.has(name);
  }

  /** @param work handles its own errors. */
  start(name: string, work: Promise<void>): void {
    const ended = work.finally(() => {
      this.work.delete(name);
      this.onEnded();
    });
    this.work.set(name, ended);
  }

  /** Resolves when all work that is now in flight has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.work.values());
  }
}
