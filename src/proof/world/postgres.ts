import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../local/embedded-postgres.js';
import { keepRestarting } from '../../local/keep-restarting.js';
import { signal } from '../../local/processes.js';
import { SmallDisk } from './small-disk.js';

/** The write-ahead log must leave room for the data. */
const SMALL_WAL = { min_wal_size: '32MB', max_wal_size: '64MB' };

/** Two statements in one message are one transaction. */
const FILL_2_MB = `CREATE TABLE more AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 2000) AS n;
  DROP TABLE more`;

export interface KeptPostgres {
  url: string;
  port: number;
  /** The disk with its data. Undefined if it was not requested, or cannot be mounted here. */
  disk: SmallDisk | undefined;
  /** How often it was started. */
  starts(): number;
  kill(): void;
  /** Ends one session of the API: as an administrator does, or by SIGKILL, after which PostgreSQL restarts itself. */
  endSession(how: 'terminate' | 'SIGKILL'): Promise<boolean>;
  /** Whether it has no room for new rows. */
  isFull(): Promise<boolean>;
  query<T extends pg.QueryResultRow>(sql: string): Promise<T[]>;
  stop(): Promise<void>;
}

/**
 * Our own PostgreSQL with full durability, started again whenever it dies.
 * @param onSmallDisk its data is on a disk that can be filled, if this user may mount one.
 */
export async function keepPostgres(dataDir: string, onSmallDisk: boolean): Promise<KeptPostgres> {
  const disk = onSmallDisk ? await SmallDisk.mount(`${dataDir}-disk`) : undefined;
  const options = {
    dataDir: disk ? join(disk.path, 'data') : dataDir,
    database: 'charge_once',
    extraSettings: { max_connections: '120', ...(disk && SMALL_WAL) },
  };
  let server = await startEmbeddedPostgres(options);
  const { port, url } = server;
  let starts = 1;
  let stopping = false;
  const keeping = keepRestarting(server, {
    options,
    isStopping: () => stopping,
    onStart: (again) => {
      server = again;
      starts++;
    },
    stop: (again) => again.stop(),
  });
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  pool.on('error', () => undefined);
  const query = async <T extends pg.QueryResultRow>(sql: string) => (await pool.query<T>(sql)).rows;
  return {
    url,
    port,
    disk,
    starts: () => starts,
    kill: () => signal(server.pid, 'SIGKILL'),
    query,
    async endSession(how) {
      const [session] = await query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = 'charge_once' AND pid <> pg_backend_pid()
           AND application_name NOT LIKE '%sandbox%' ORDER BY query_start DESC NULLS LAST LIMIT 1`,
      );
      if (!session) return false;
      if (how === 'SIGKILL') signal(session.pid, 'SIGKILL');
      else await query(`SELECT pg_terminate_backend(${session.pid})`);
      return true;
    },
    async isFull() {
      try {
        await query(FILL_2_MB);
        return false;
      } catch {
        return true; // or it has died: a write-ahead log that cannot grow ends PostgreSQL
      }
    },
    async stop() {
      stopping = true;
      await pool.end().catch(() => undefined);
      await server.stop();
      await keeping;
      await disk?.unmount();
    },
  };
}
