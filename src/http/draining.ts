import { Injectable } from '@nestjs/common';

/** Whether this process is on its way out. It then says so to probes and load balancers, and finishes what it has. */
@Injectable()
export class Draining {
  private readonly inFlight = new Set<object>();
  private idle: (() => void) | undefined;
  private draining = false;

  get started(): boolean {
    return this.draining;
  }

  begin(): void {
    this.draining = true;
  }

  /** Work that goes on although its client may have hung up, so that its connection does not hold the process. */
  add(work: object): void {
    this.inFlight.add(work);
  }

  remove(work: object): void {
    this.inFlight.delete(work);
    if (this.inFlight.size === 0) this.idle?.();
  }

  /** Resolves when no such work is left. */
  async untilIdle(): Promise<void> {
    if (this.inFlight.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
  }
}
