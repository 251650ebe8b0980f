/**
 * How many requests one endpoint may have open in this process. One that is slow fills its own lanes; what comes for it
 * after that is put off, each time for longer, and the slots go to the others.
 */
export class Lanes {
  private readonly open = new Map<string, number>();

  /** @param width as many as this; fewer than the slots for deliveries, or one endpoint could take them all. */
  constructor(private readonly width: number) {}

  /** @returns undefined if all lanes are taken. */
  enter(endpointId: string): { leave(): void } | undefined {
    const open = this.open.get(endpointId) ?? 0;
    if (open >= this.width) return undefined;
    this.open.set(endpointId, open + 1);
    return { leave: () => this.leave(endpointId) };
  }

  private leave(endpointId: string): void {
    const open = this.open.get(endpointId)! - 1;
    if (open > 0) this.open.set(endpointId, open);
    else this.open.delete(endpointId);
  }

  /** How long to wait, in ms, when there was no lane for the n-th time: half a second, doubled up to four minutes. */
  static pauseMs(times: number, random = Math.random()): number {
    return 250 * 2 ** Math.min(times, 10) * (0.5 + random);
  }
}
