import { Injectable } from '@nestjs/common';

/**
 * Whether this process is stopping. Then it reports "not ready" to probes and load balancers, and finishes its work.
 */
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

  /** Work that must finish even if its client hangs up, when no open connection keeps the process alive. */
  add(work: object): void {
    this.inFlight.add(work);
  }

  remove(work: object): void {
    this.inFlight.delete(work);
    if (this.inFlight.size === 0) this.idle?.();
  }

  /** Resolves when all work passed to `add` has ended. */
  async untilIdle(): Promise<void> {
    if (this.inFlight.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
  }
}
