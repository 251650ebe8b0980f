import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../src/local/ports.js';
import { signalOnExit } from '../../src/local/processes.js';
import { until } from './until.js';

/** The path of the Debian package, or the one in PATH. */
export function findPgbouncer(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path));
}

/**
 * PgBouncer in transaction mode: each transaction may use another connection; there are no sessions.
 * @param ignored the start-up parameters that it ignores. Default: those that the README names.
 */
export async function startPgbouncer(
  binary: string,
  databaseUrl: string,
  ignored = 'options',
): Promise<{ url: string; stop(): Promise<void> }> {
  const target = new URL(databaseUrl);
  const name = target.pathname.slice(1);
  const port = await freePort('127.0.0.1');
  const home = await mkdtemp(join(tmpdir(), 'charge-once-pgbouncer-'));
  await chmod(home, 0o755);
  const config = join(home, 'pgbouncer.ini');
  await writeFile(
    config,
    `[databases]
${name} = host=${target.hostname} port=${target.port} dbname=${name} user=${target.username} password=${target.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
; Settings of a session: the sessions are PgBouncer's, so that they are set there or in PostgreSQL.
ignore_startup_parameters = ${ignored}
`,
  );
  // PgBouncer refuses to run as root.
  const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const child = spawn(binary, ['-q', ...asRoot, config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const watchdog = signalOnExit(child.pid ?? 0, 'INT');
  const exit = once(child, 'exit');
  const url = `postgres://any@127.0.0.1:${port}/${name}`;
  const stop = async () => {
    watchdog.cancel();
    child.kill('SIGKILL');
    await exit;
    await rm(home, { recursive: true, force: true });
  };
  try {
    await until(async () => {
      const client = new pg.Client({ connectionString: url });
      try {
        await client.connect();
        return true;
      } finally {
        await client.end();
      }
    });
  } catch (error) {
    await stop();
    throw new Error(`PgBouncer did not start: ${said}`, { cause: error });
  }
  return { url, stop };
}
