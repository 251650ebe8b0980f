import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database } from './database.js';
import { ENGINE_OPTIONS, type EngineOptions } from './engine-options.js';
import { Loop } from './loop.js';
import { deleteExpiredBatch } from './due-records.js';

/** Small enough that a batch holds its row locks for milliseconds. */
const BATCH = 500;

/**
 * Removes expired records. Nothing depends on it: a read treats an expired record as absent, and the object's primary
 * key stays as the guard. It never deletes an unfinished record. Proof: test/white-box/guarantees/expiry.spec.ts.
 */
@Injectable()
export class Reaper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop: Loop;

  constructor(
    private readonly db: Database,
    @Inject(ENGINE_OPTIONS) { reapIntervalMs }: EngineOptions,
  ) {
    this.loop = new Loop(Reaper.name, reapIntervalMs, () => this.reap());
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }

  /** Safe in any number of processes: compare-and-set lets only one of them delete each row. */
  private async reap(): Promise<void> {
    let listed: number;
    do listed = await deleteExpiredBatch(this.db, BATCH);
    while (listed === BATCH);
  }
}
