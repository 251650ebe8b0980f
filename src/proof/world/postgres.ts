import pg from 'pg';
import { startEmbeddedPostgres } from '../../local/embedded-postgres.js';
import { keepRestarting } from '../../local/keep-restarting.js';
import { signal } from '../../local/processes.js';

export interface KeptPostgres {
  url: string;
  port: number;
  /** How often it was started. */
  starts(): number;
  kill(): void;
  /** Ends one session of the API: as an administrator does, or by SIGKILL, after which PostgreSQL restarts itself. */
  endSession(how: 'terminate' | 'SIGKILL'): Promise<boolean>;
  query<T extends pg.QueryResultRow>(sql: string): Promise<T[]>;
  stop(): Promise<void>;
}

/** A PostgreSQL of our own with full durability, started again whenever it dies. */
export async function keepPostgres(dataDir: string): Promise<KeptPostgres> {
  const options = { dataDir, database: 'charge_once', extraSettings: { max_connections: '120' } };
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
    async stop() {
      stopping = true;
      await pool.end().catch(() => undefined);
      await server.stop();
      await keeping;
    },
  };
}
