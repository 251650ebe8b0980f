/** Work that a loop has started and does not wait for, by name: what is slow holds up nothing else. */
export class UnderWay {
  private readonly work = new Map<string, Promise<void>>();

  /** @param onEnded called when some of it has ended, and its name is free again. */
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

  /** Resolves when all that is under way now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.work.values());
  }
}
