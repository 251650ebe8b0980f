/** Work that a loop has started and does not wait for, by name, so that slow work does not delay the rest. */
export class InFlight {
  private readonly work = new Map<string, Promise<unknown>>();

  get size(): number {
    return this.work.size;
  }

  has(name: string): boolean {
    return this.work.has(name);
  }

  /**
   * @param work handles its own errors.
   * @returns its result, when it has ended and its name is free again.
   */
  start<T>(name: string, work: Promise<T>): Promise<T> {
    const ended = work.finally(() => this.work.delete(name));
    this.work.set(name, ended);
    return ended;
  }

  /** Resolves when all work that is now in flight has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.work.values());
  }
}
