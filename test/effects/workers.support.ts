import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.js';

/** The worker processes of one service that are alive. */
export class Workers {
  private readonly alive = new Set<WorkerProcess>();

  constructor(private readonly env: Record<string, string>) {}

  async start(more: Record<string, string> = {}): Promise<WorkerProcess> {
    const worker = await startWorkerProcess({ ...this.env, ...more });
    const kept: WorkerProcess = {
      ...worker,
      kill: async (signal) => {
        const end = await worker.kill(signal);
        this.alive.delete(kept);
        return end;
      },
    };
    this.alive.add(kept);
    return kept;
  }

  async startAsleep(): Promise<WorkerProcess> {
    const worker = await this.start();
    await worker.sleep();
    return worker;
  }

  /** Suspends every worker during `work`, then wakes them. */
  async sleepDuring<T>(work: () => Promise<T>): Promise<T> {
    const asleep = [...this.alive];
    await Promise.all(asleep.map((worker) => worker.sleep()));
    try {
      return await work();
    } finally {
      for (const worker of asleep) worker.wake();
    }
  }

  async kill(): Promise<void> {
    await Promise.all([...this.alive].map((worker) => worker.kill()));
  }
}
