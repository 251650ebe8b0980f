import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { sqlStateOf } from '../idempotency/errors.js';

export interface LockRetryOptions {
  attempts?: number;
  /** The pause between two attempts, in ms, in which the requests that queued behind the failed one can run. */
  pauseMs?: number;
  /** How long a session blocks one statement before the log names it, in ms. */
  patienceMs?: number;
  /** Called once for each blocking session, with a line that describes it. */
  log?: (line: string) => void;
}

/** About two minutes in total, including the waits. A dump may hold its locks for longer: then a person must decide. */
const ATTEMPTS = 60;
const PAUSE_MS = 1_000;

/** Longer than the lock timeout of a statement. Only CREATE INDEX CONCURRENTLY waits longer. */
const PATIENCE_MS = 2_000;

/** In ms, so several times during one attempt: a blocking session is visible only while the statement waits. */
const LOOK_EVERY_MS = 100;

/** Identifies the migrations' sessions in pg_stat_activity, even behind a pooler. */
export const APPLICATION_NAME = 'charge-once migrations';

/** SQLSTATE. */
const LOCK_NOT_AVAILABLE = '55P03';

/** Another session held a lock until the migrations had used all their attempts. */
export class MigrationBlocked extends Error {
  constructor(attempts: number, blockers: string[], cause: unknown) {
    const by = blockers.length > 0 ? `: ${blockers.join('; ')}` : '';
    super(
      `The migrations did not get a lock in ${attempts} attempts${by}. Run them again when that session has ended: they continue where they stopped.`,
      { cause },
    );
  }
}

/**
 * Runs a step whose statements stop waiting for a lock after a short time, and repeats it, so that requests never
 * queue behind it for long.
 * @param watcher another connection, otherwise unused and in no transaction. CREATE INDEX CONCURRENTLY waits for
 *   every transaction that has a snapshot, and so would wait for a watcher that has one.
 * @throws MigrationBlocked
 */
export async function withLockRetries(
  watcher: pg.Client,
  step: () => Promise<unknown>,
  {
    attempts = ATTEMPTS,
    pauseMs = PAUSE_MS,
    patienceMs = PATIENCE_MS,
    log = () => undefined,
  }: LockRetryOptions,
): Promise<void> {
  const named = new Set<number>();
  const name = ({ pid, line }: Blocker, whatNext: string) => {
    if (!named.has(pid)) log(`A migration waits for a lock: ${line}. ${whatNext}`);
    named.add(pid);
  };
  for (let attempt = 1; ; attempt++) {
    const watch = watchBlockers(watcher, patienceMs, (blocker) =>
      name(blocker, 'It continues when that transaction ends.'),
    );
    try {
      await step();
      return;
    } catch (error) {
      const blockers = await watch.stop();
      if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE) throw error;
      const lines = blockers.map(({ line }) => line);
      if (attempt >= attempts) throw new MigrationBlocked(attempts, lines, error);
      for (const blocker of blockers) name(blocker, 'It tries again.');
    } finally {
      await watch.stop();
    }
    await delay(pauseMs);
  }
}

interface Blocker {
  pid: number;
  /** What a person needs to find the session. */
  line: string;
}

/**
 * Looks for blocking sessions until it is stopped. If it fails, only the watch ends, not the step.
 * @param onWait called at every look for each session that still blocks after `patienceMs`.
 * @returns `stop`, which returns the sessions that were seen.
 */
function watchBlockers(watcher: pg.Client, patienceMs: number, onWait: (blocker: Blocker) => void) {
  const seen = new Map<number, Blocker>();
  /** Only sessions that blocked at the last look: several short transactions of one session are not one long wait. */
  let since = new Map<number, number>();
  const stopping = new AbortController();
  const watching = (async () => {
    for (;;) {
      await delay(LOOK_EVERY_MS, undefined, { signal: stopping.signal });
      const blockers = await listBlockers(watcher);
      const now = performance.now();
      since = new Map(blockers.map(({ pid }) => [pid, since.get(pid) ?? now]));
      for (const blocker of blockers) {
        seen.set(blocker.pid, blocker);
        if (now - since.get(blocker.pid)! >= patienceMs) onWait(blocker);
      }
    }
  })().catch(() => undefined); // stopped; or the watcher lost its connection, which its owner notices
  return {
    async stop(): Promise<Blocker[]> {
      stopping.abort();
      await watching;
      return [...seen.values()];
    },
  };
}

async function listBlockers(watcher: pg.Client): Promise<Blocker[]> {
  const { rows } = await watcher.query<Blocker>(
    `SELECT DISTINCT blocker.pid, concat_ws(', ', 'pid ' || blocker.pid,
       COALESCE(NULLIF(blocker.application_name, ''), 'no application name'), blocker.state,
       'for ' || date_trunc('second', clock_timestamp() - blocker.xact_start)) AS line
     FROM pg_stat_activity AS ours
     CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking (pid)
     JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid
     WHERE ours.datname = current_database() AND ours.application_name = $1
       AND ours.wait_event_type = 'Lock' AND blocker.application_name <> $1`,
    [APPLICATION_NAME],
  );
  return rows;
}
