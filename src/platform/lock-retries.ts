import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { QueryFailedError } from 'typeorm';

export interface Retrying {
  /** After so many attempts the lock is given up. */
  attempts?: number;
  /** Between two attempts, in ms, for what has queued behind the one that failed. */
  pauseMs?: number;
  /** Told what is waited for, once for each that is in the way. */
  log?: (line: string) => void;
}

/** Together with the time that each waits: some two minutes. A dump takes longer, and a person must decide. */
const ATTEMPTS = 60;
const PAUSE_MS = 1_000;

/** Several times within the wait of one attempt: what is in the way can be seen during it only. */
const LOOK_EVERY_MS = 100;

/** SQLSTATE. */
const LOCK_NOT_AVAILABLE = '55P03';

/** Another session keeps a lock for longer than we are willing to ask for it. */
export class MigrationBlocked extends Error {
  constructor(attempts: number, blockers: string[], cause: unknown) {
    const by = blockers.length > 0 ? `: ${blockers.join('; ')}` : '';
    super(
      `The migrations did not get a lock in ${attempts} attempts${by}. Run them again when it has ended: they go on where they stopped.`,
      { cause },
    );
  }
}

/**
 * Runs a step whose statements give up waiting for a lock after a short time, again and again, so that requests never
 * queue behind it for long.
 * @param watcher another connection, free meanwhile and in no transaction: CREATE INDEX CONCURRENTLY waits for the end of
 *   each transaction that has a snapshot at that moment, even if it is the one that waits for the index.
 * @param applicationName of the sessions that run the step.
 * @throws MigrationBlocked
 */
export async function withLockRetries(
  watcher: pg.Client,
  applicationName: string,
  step: () => Promise<unknown>,
  { attempts = ATTEMPTS, pauseMs = PAUSE_MS, log = () => undefined }: Retrying,
): Promise<void> {
  const told = new Set<number>();
  for (let attempt = 1; ; attempt++) {
    const watch = watchBlockers(watcher, applicationName);
    try {
      await step();
      return;
    } catch (error) {
      const blockers = await watch.stop();
      if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE) throw error;
      const lines = [...blockers.values()];
      if (attempt >= attempts) throw new MigrationBlocked(attempts, lines, error);
      for (const [pid, line] of blockers) {
        if (!told.has(pid)) log(`A migration waits for a lock: ${line}. It tries again.`);
        told.add(pid);
      }
    } finally {
      await watch.stop();
    }
    await delay(pauseMs);
  }
}

/** @returns what was seen in the way, by pid, when it stops. */
function watchBlockers(watcher: pg.Client, applicationName: string) {
  const seen = new Map<number, string>();
  const stopping = new AbortController();
  const watching = (async () => {
    for (;;) {
      await delay(LOOK_EVERY_MS, undefined, { signal: stopping.signal });
      for (const { pid, line } of await listBlockers(watcher, applicationName)) seen.set(pid, line);
    }
  })().catch(() => undefined); // stopped; or the watcher is lost, which its owner is told
  return {
    async stop() {
      stopping.abort();
      await watching;
      return seen;
    },
  };
}

async function listBlockers(
  watcher: pg.Client,
  applicationName: string,
): Promise<{ pid: number; line: string }[]> {
  const { rows } = await watcher.query<{ pid: number; line: string }>(
    `SELECT DISTINCT blocker.pid, concat_ws(', ', 'pid ' || blocker.pid,
       COALESCE(NULLIF(blocker.application_name, ''), 'no application name'), blocker.state,
       'for ' || date_trunc('second', clock_timestamp() - blocker.xact_start)) AS line
     FROM pg_stat_activity AS ours
     CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking (pid)
     JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid
     WHERE ours.datname = current_database() AND ours.application_name = $1
       AND ours.wait_event_type = 'Lock' AND blocker.application_name <> $1`,
    [applicationName],
  );
  return rows;
}

/** TypeORM wraps what a statement fails with; the queue does not. */
export function sqlStateOf(error: unknown): string | undefined {
  const cause = error instanceof QueryFailedError ? error.driverError : error;
  return (cause as { code?: string }).code;
}
