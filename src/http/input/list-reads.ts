import { Inject, Injectable, Module } from '@nestjs/common';
import { Database } from '../../database/database.js';
import { Problem } from '../problems/problem.js';
import { Shares } from '../shares.js';
import { RATE_LIMITED } from '../problems/http.problems.js';

/**
 * The largest part of the pool that lists may use. With more, slow lists would delay writes; with less, lists would
 * wait even though connections are free.
 */
const MAX_POOL_SHARE = 1 / 3;

export const LISTS_POOL_SIZE = Symbol('LISTS_POOL_SIZE');

/** How long a list waits for its turn, in ms: longer than reading a page takes, shorter than a client waits. */
const TURN_TIMEOUT_MS = 2_000;

/**
 * Limits the lists that one process reads at the same time. One account gets at most half of the turns, so its lists
 * do not block those of other accounts. A waiting list holds no connection. Proof:
 * test/white-box/operation/lists.spec.ts.
 */
@Injectable()
export class ListReads {
  private readonly waiting = new Set<() => void>();
  private readonly turns: Shares;

  constructor(
    private readonly db: Database,
    @Inject(LISTS_POOL_SIZE) poolSize: number,
  ) {
    this.turns = new Shares(Math.max(1, Math.floor(poolSize * MAX_POOL_SHARE)));
  }

  /** @throws Problem `rate_limited` if it gets no turn in time; nothing was read. */
  async inTurn<T>(accountId: string, read: (db: Database) => Promise<T>): Promise<T> {
    const leave = this.turns.take([accountId]) ?? (await this.turnOf(accountId));
    try {
      return await read(this.db);
    } finally {
      leave();
      for (const tryAgain of this.waiting) tryAgain();
    }
  }

  private turnOf(accountId: string): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const tryAgain = () => {
        const leave = this.turns.take([accountId]);
        if (!leave) return;
        stopWaiting();
        resolve(leave);
      };
      const tooLate = setTimeout(() => {
        stopWaiting();
        const detail = 'Too many lists are being read at once. Read one after the other.';
        reject(new Problem(RATE_LIMITED, detail));
      }, TURN_TIMEOUT_MS);
      const stopWaiting = () => {
        clearTimeout(tooLate);
        this.waiting.delete(tryAgain);
      };
      this.waiting.add(tryAgain);
    });
  }
}

/** For modules with lists: they share the turns of one process. */
@Module({ providers: [ListReads], exports: [ListReads] })
export class ListsModule {}
