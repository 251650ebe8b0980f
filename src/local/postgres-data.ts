import { execFile } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import {
  chown,
  mkdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import {
  canEnter,
  makeOpenDirectories,
  runsAsRoot,
  type ServerUser,
  serverUser,
} from './postgres-binaries.js';

const run = promisify(execFile);

/** A file in the data directory, which has mode 0700. */
const PASSWORD_FILE = 'charge-once.password';

/** The real location of the cluster, and its owner. */
export interface DataDirectory {
  path: string;
  user: ServerUser;
  exists: boolean;
}

/**
 * Finds a location for the cluster that the server's user can reach. Root's own directories are often closed to other
 * users (`/root` is 0700). Then the data goes to /var/lib, with a symlink at the requested path; deleting the symlink
 * still starts a new cluster.
 *
 * An existing cluster runs as its owner, so that a cluster made by an ordinary user still works under `sudo`.
 */
export async function locateDataDirectory(wanted: string): Promise<DataDirectory> {
  await makeOpenDirectories(dirname(resolve(wanted))).catch((error: Error) => {
    throw new Error(
      `The data directory ${wanted} cannot be created: ${error.message}. Set DATA_DIR.`,
    );
  });
  // The real path, because a live server is recognised by the directory on its command line.
  const asked = join(await realpath(dirname(resolve(wanted))), basename(wanted));
  let path = await realpath(asked).catch(() => asked);
  const found = await stat(path).catch(() => undefined);
  const user = found && runsAsRoot() ? { uid: found.uid, gid: found.gid } : await serverUser();
  if (runsAsRoot() && !(await canEnter(dirname(path), user))) path = await openPlaceFor(asked);
  if (found === undefined) return { path, user, exists: false };

  if (!(await stat(join(path, 'PG_VERSION')).catch(() => undefined))) {
    throw new Error(
      found.uid === process.getuid?.() || runsAsRoot()
        ? `${path} exists but is not a PostgreSQL cluster; move it away, or set DATA_DIR.`
        : `${path} belongs to another user; start as that user, or set DATA_DIR.`,
    );
  }
  return { path, user, exists: true };
}

async function openPlaceFor(asked: string): Promise<string> {
  const target = `/var/lib/charge-once/${randomBytes(6).toString('hex')}/${basename(asked)}`;
  try {
    await symlink(target, asked);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const place = await readlink(asked).catch(() => {
    throw new Error(
      `${asked} is inside a directory that PostgreSQL's user cannot enter; open it (chmod a+x), or set DATA_DIR.`,
    );
  });
  await makeOpenDirectories(dirname(place));
  return place;
}

/**
 * Creates a cluster as a draft and renames it. If the process is killed, what it leaves is never used as a cluster.
 * Of two concurrent starters, the second deletes its copy.
 */
export async function createCluster(
  binDir: string,
  data: DataDirectory,
  durable: boolean,
): Promise<void> {
  const draft = `${data.path}.init.${process.pid}.${randomBytes(3).toString('hex')}`;
  const passwordFile = `${draft}.password`;
  try {
    await mkdir(draft, { mode: 0o700 });
    // Any local user can connect to a loopback port, and a PostgreSQL superuser can run programs as the server's
    // user. So even this server needs a password.
    await writeFile(passwordFile, randomBytes(16).toString('hex'), { mode: 0o600 });
    const { uid, gid } = data.user;
    if (uid !== undefined && gid !== undefined) {
      await Promise.all([draft, passwordFile].map((file) => chown(file, uid, gid)));
    }
    await run(
      join(binDir, 'initdb'),
      [
        `--pgdata=${draft}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=password', // unencrypted, but only on the loopback; SCRAM would cost each connection milliseconds
        '--encoding=UTF8', // with LANG unset the default is SQL_ASCII
        // Not a locale of the operating system: text sorts the same on every machine.
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--locale=C',
        ...(durable ? [] : ['--no-sync']),
      ],
      { ...data.user, cwd: '/', env: serverEnvironment() },
    );
    await rename(passwordFile, join(draft, PASSWORD_FILE));
    await rename(draft, data.path);
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return; // another starter was first: use its cluster
    throw new Error(`initdb could not create a cluster in ${data.path}: ${stderr || message}`);
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(passwordFile, { force: true });
  }
}

export async function clusterPassword(dataDir: string): Promise<string> {
  return readFile(join(dataDir, PASSWORD_FILE), 'utf8').catch(() => {
    throw new Error(
      `${dataDir} is a PostgreSQL cluster that another program created; set DATA_DIR to another directory.`,
    );
  });
}

/** Our environment is not passed on: PGDATA, PGPORT or LANG in it would change the server. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** The content of `postmaster.pid`; undefined if it is missing or half-written. */
export async function readLock(
  dataDir: string,
): Promise<{ pid: number; port: number; status: string } | undefined> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  // Lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
  const [pid, , , port, , , , status] = text.split('\n');
  if (!pid || !(Number(pid) > 0)) return undefined;
  return { pid: Number(pid), port: Number(port), status: status?.trim() ?? '' };
}

/** The text of a log from a position on, trimmed. */
export function readFrom(file: string, position: number): string {
  const fd = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(fstatSync(fd).size - position, 64 * 1024));
    readSync(fd, buffer, 0, buffer.length, position);
    return buffer.toString().trim();
  } finally {
    closeSync(fd);
  }
}

export async function ensureDatabase(adminUrl: string, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } catch (error) {
    // 42P04: it exists. 23505: another starter is creating it. 25006: a standby cannot create it.
    if (!['42P04', '23505', '25006'].includes((error as pg.DatabaseError).code ?? '')) throw error;
  } finally {
    await client.end();
  }
}
