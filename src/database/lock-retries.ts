import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { QueryFailedError } from 'typeorm';

export interface Retrying {
  /** After so many attempts the lock is given up. */
  attempts?: number;
  /** Between two attempts, in ms, for what has queued behind the one that failed. */
  pauseMs?: number;
  /** How long a session is in the way of one statement before the log names it, in ms. */
  patienceMs?: number;
  /** Called with what the step waits for, once for each session that is in the way. */
  log?: (line: string) => void;
}

/** Together with the time that each waits: some two minutes. A dump takes longer, and a person must decide. */
const ATTEMPTS = 60;
const PAUSE_MS = 1_000;

/** Longer than a statement waits that gives up: only CREATE INDEX CONCURRENTLY waits on. */
const PATIENCE_MS = 2_000;

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
  {
    attempts = ATTEMPTS,
    pauseMs = PAUSE_MS,
    patienceMs = PATIENCE_MS,
    log = () => undefined,
  }: Retrying,
): Promise<void> {
  const named = new Set<number>();
  const name = ({ pid, line }: Blocker, whatNext: string) => {
    if (!named.has(pid)) log(`A migration waits for a lock: ${line}. ${whatNext}`);
    named.add(pid);
  };
  for (let attempt = 1; ; attempt++) {
    const watch = watchBlockers(watcher, applicationName, patienceMs, (blocker) =>
      name(blocker, 'It goes on when that transaction ends.'),
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
  /** What a person needs to find it. */
  line: string;
}

/**
 * Looks for what is in the way until it is stopped. A failure ends the watch only, never the step.
 * @param onWait called at every look with each session that is still in the way after `patienceMs`.
 * @returns what was seen, when it stops.
 */
function watchBlockers(
  watcher: pg.Client,
  applicationName: string,
  patienceMs: number,
  onWait: (blocker: Blocker) => void,
) {
  const seen = new Map<number, Blocker>();
  /** Only of those in the way at the last look: short transactions of one session are no long wait. */
  let since = new Map<number, number>();
  const stopping = new AbortController();
  const watching = (async () => {
    for (;;) {
      await delay(LOOK_EVERY_MS, undefined, { signal: stopping.signal });
      const blockers = await listBlockers(watcher, applicationName);
      const now = performance.now();
      since = new Map(blockers.map(({ pid }) => [pid, since.get(pid) ?? now]));
      for (const blocker of blockers) {
        seen.set(blocker.pid, blocker);
        if (now - since.get(blocker.pid)! >= patienceMs) onWait(blocker);
      }
    }
  })().catch(() => undefined); // stopped; or the watcher is lost, which its owner is told
  return {
    async stop(): Promise<Blocker[]> {
      stopping.abort();
      await watching;
      return [...seen.values()];
    },
  };
}

async function listBlockers(watcher: pg.Client, applicationName: string): Promise<Blocker[]> {
  const { rows } = await watcher.query<Blocker>(
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
