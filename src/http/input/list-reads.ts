import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../../database/database.js';
import { Problem } from '../problems/problem.js';
import { Shares } from '../shares.js';
import { RATE_LIMITED } from '../problems/http.problems.js';

/**
 * Lists take no more than this part of a pool's connections. Larger, and slow lists hold up writes; smaller, and
 * lists wait although connections are free.
 */
const PART_OF_THE_POOL = 1 / 3;

export const LISTS_POOL_SIZE = Symbol('LISTS_POOL_SIZE');

/** How long a list waits for its turn, in ms: longer than a page takes, shorter than a client waits. */
const PATIENCE_MS = 2_000;

/**
 * The turns of the lists that one process reads. An account takes half of them at most, so that another account's list
 * waits for none of its. One that waits holds no connection. Proof: test/white-box/operation/lists.spec.ts.
 */
@Injectable()
export class ListReads {
  private readonly waiting = new Set<() => void>();
  private readonly turns: Shares;

  constructor(
    private readonly db: Database,
    @Inject(LISTS_POOL_SIZE) poolSize: number,
  ) {
    this.turns = new Shares(Math.max(1, Math.floor(poolSize * PART_OF_THE_POOL)));
  }

  /** @throws Problem `rate_limited` when no turn has come in time; nothing was read. */
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
        reject(new Problem(RATE_LIMITED, detail, { headers: { 'Retry-After': '1' } }));
      }, PATIENCE_MS);
      const stopWaiting = () => {
        clearTimeout(tooLate);
        this.waiting.delete(tryAgain);
      };
      this.waiting.add(tryAgain);
    });
  }
}
