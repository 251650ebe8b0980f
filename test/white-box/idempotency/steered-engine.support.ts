import { randomUUID } from 'node:crypto';
import type { Completer } from '../../../src/idempotency/completer.js';
import type { Database, Tx } from '../../../src/idempotency/database.js';
import type { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import type {
  Answer,
  Intent,
  OutsideCall,
  TransactionPlan,
} from '../../../src/idempotency/operation.js';
import { findRecord } from '../../../src/idempotency/records.js';
import { DONE, engineAlone, requestFor } from './engine.support.js';

const ACCOUNT = 'acct_steered';
export const MAX_FAILURES = 3;
export const LEASE_MS = 10_000;

export interface Beats extends Pick<OutsideCall<string, string>, 'load' | 'perform'> {
  settle(tx: Tx, work: string, outcome: string, intent: Intent): Promise<Answer>;
}

const BEATS: Beats = {
  load: async () => 'work',
  perform: async () => ({ ended: true, outcome: 'outcome' }),
  settle: async () => DONE,
};

export const OPEN = {
  ended: false,
  inDoubt: true,
  error: () => new Error('no outcome yet'),
} as const;

/**
 * The engine alone, without a loop: a test decides when the sweep runs and what each beat does. Tests take the
 * methods that they call often out of the object, so these are arrow functions.
 */
export class SteeredEngine {
  /** What the beats do. A test replaces them one by one. */
  readonly beats: Beats = { ...BEATS };
  /** Each test has its own key, and so its own record. */
  key = '';
  /** How often `perform` has begun. */
  performed = 0;
  db!: Database;
  completer!: Completer;
  private alone!: Awaited<ReturnType<typeof engineAlone>>;
  private engine!: IdempotencyEngine;

  async open(): Promise<void> {
    const { beats } = this;
    this.alone = await engineAlone({
      name: 'POST /things',
      idPrefix: 'th',
      find: async () => undefined,
      outside: {
        load: (...args) => beats.load(...args),
        perform: (work, ...rest) => {
          this.performed += 1;
          return beats.perform(work as string, ...rest);
        },
        settle: (work, outcome, intent) => ({
          settle: (tx) => beats.settle(tx, work as string, outcome as string, intent),
        }),
      },
    });
    this.db = this.alone.db;
    ({ engine: this.engine, completer: this.completer } = this.start(LEASE_MS));
  }

  close(): Promise<void> {
    return this.alone.close();
  }

  /** Another engine on the same records. */
  start(leaseMs: number) {
    const options = { waitMs: 1_000, ttlSeconds: 60, leaseMs, reapIntervalMs: 1_000 };
    return this.alone.start({ ...options, maxFailures: MAX_FAILURES });
  }

  /** A new key, and beats that succeed. */
  reset(): void {
    this.key = randomUUID();
    this.performed = 0;
    Object.assign(this.beats, BEATS);
  }

  /** One request of a client. @returns the answer's body, or the message of the error. */
  ask = (
    plan: TransactionPlan = { reserve: async () => ({ work: undefined }) },
    by = this.engine,
  ): Promise<string> =>
    by.run(requestFor(ACCOUNT, this.key), plan).then(
      ({ answer }) => answer.body,
      (error: Error) => error.message,
    );

  record = async () => (await findRecord(this.db, ACCOUNT, this.key))!;

  /** Moves all pauses and leases into the past. */
  letTimePass = () =>
    this.db.query(
      `UPDATE idempotency_records SET next_attempt_at = next_attempt_at - interval '1 hour',
         lease_expires_at = lease_expires_at - interval '1 hour' WHERE key = $1`,
      [this.key],
    );

  /** When the sweep's next attempt may start, in seconds from this call, according to the database's clock. */
  startWatch = async () => {
    const [start] = await this.db.query<{ now: Date }>('SELECT clock_timestamp() AS now');
    return async () => {
      const [row] = await this.db.query<{ pause: number }>(
        `SELECT EXTRACT(EPOCH FROM next_attempt_at - $2)::float8 AS pause
         FROM idempotency_records WHERE key = $1`,
        [this.key, start!.now],
      );
      return row!.pause;
    };
  };

  /** Runs the sweep with everything due. @returns how many attempts it made. */
  sweep = async (): Promise<number> => {
    await this.letTimePass();
    const before = this.performed;
    for (const due of await this.completer.listRecoverable(100)) {
      if (due.key === this.key) await this.completer.resume(due).catch(() => undefined);
    }
    return this.performed - before;
  };
}
