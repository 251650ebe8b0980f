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
import {
  canEnter,
  makeOpenDirectories,
  runsAsRoot,
  type ServerUser,
  serverUser,
} from './postgres-binaries.js';

const run = promisify(execFile);

/** Beside PostgreSQL's own files in the data directory, which is 0700. */
const PASSWORD_FILE = 'charge-once.password';

/** Where the cluster really lies, and whom it belongs to. */
export interface DataDirectory {
  path: string;
  user: ServerUser;
  exists: boolean;
}

/**
 * Finds a place for the cluster that the server's user can reach. Root's own directories are often
 * closed to everybody else (`/root` is 0700); then the data goes under /var/lib, and a symlink stands
 * where it was asked for: deleting that still begins a new cluster.
 *
 * A cluster that exists is run by its owner, so that one made by an ordinary user survives a `sudo`.
 */
export async function locateDataDirectory(wanted: string): Promise<DataDirectory> {
  await makeOpenDirectories(dirname(resolve(wanted))).catch((error: Error) => {
    throw new Error(`No data can be kept in ${wanted}: ${error.message}. Set DATA_DIR.`);
  });
  // The real path: a live server is recognised by the directory on its command line.
  const asked = join(await realpath(dirname(resolve(wanted))), basename(wanted));
  let path = await realpath(asked).catch(() => asked);
  const found = await stat(path).catch(() => undefined);
  const user = found && runsAsRoot() ? { uid: found.uid, gid: found.gid } : await serverUser();
  if (runsAsRoot() && !(await canEnter(dirname(path), user))) path = await openPlaceFor(asked);
  if (found === undefined) return { path, user, exists: false };

  if (!(await stat(join(path, 'PG_VERSION')).catch(() => undefined))) {
    throw new Error(
      found.uid === process.getuid?.() || runsAsRoot()
        ? `${path} exists and holds no PostgreSQL cluster; move it away, or set DATA_DIR.`
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
      `${asked} lies under a directory that PostgreSQL's own user cannot enter; open it (chmod a+x), or set DATA_DIR.`,
    );
  });
  await makeOpenDirectories(dirname(place));
  return place;
}

/**
 * Makes a cluster under a name of our own and renames it: killed half-way, what is left behind is
 * never taken for a cluster, and of two starters at once the second throws its copy away.
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
    // Any local user may connect to a port on the loopback, and a superuser of PostgreSQL can run
    // programs as the server's user: hence a password even here.
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
        '--auth=password', // plain on the loopback: SCRAM costs every connection milliseconds here
        '--encoding=UTF8', // with LANG unset the default is SQL_ASCII
        // No locale of the operating system: text sorts the same on every machine.
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
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return; // another starter was first: its cluster it is
    throw new Error(`initdb could not make a cluster in ${data.path}: ${stderr || message}`);
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(passwordFile, { force: true });
  }
}

export async function clusterPassword(dataDir: string): Promise<string> {
  return readFile(join(dataDir, PASSWORD_FILE), 'utf8').catch(() => {
    throw new Error(
      `${dataDir} is a PostgreSQL cluster that something else made; set DATA_DIR to another place.`,
    );
  });
}

/** Ours is not passed on: PGDATA, PGPORT or a strange LANG in it would bend the server. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** What `postmaster.pid` says; undefined when there is no such file, or a half-written one. */
export async function readLock(
  dataDir: string,
): Promise<{ pid: number; port: number; status: string } | undefined> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  // Lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
  const [pid, , , port, , , , status] = text.split('\n');
  if (!pid || !(Number(pid) > 0)) return undefined;
  return { pid: Number(pid), port: Number(port), status: status?.trim() ?? '' };
}

/** What a log says from a position on, without its last line break. */
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
