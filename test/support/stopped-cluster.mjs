import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/**
 * A stopped, migrated PostgreSQL cluster that each run copies, because initdb and the migrations take most of a short
 * run. It is rebuilt when any of its inputs change. No server ever runs in the copy that is kept.
 */
const CACHE = resolve('node_modules/.cache/charge-once-cluster');
const MADE_OF = [
  'package-lock.json',
  'test/support/stopped-cluster.mjs',
  'src/local/postgres-data.ts',
  'src/database/migrate.ts',
  'src/database/queue-owner.ts',
  ...readdirSync('migrations').map((name) => join('migrations', name)),
];

/** The migrated template of each test database. */
export const TEMPLATE_DATABASE = 'charge_once_template'; // as in database.ts

const run = promisify(execFile);

/**
 * @param make starts a server on a directory and migrates it.
 * @param home the directory where it may run meanwhile.
 * @returns the directory, for `cp -a`.
 */
export async function stoppedCluster(home, make) {
  const hash = createHash('sha256');
  for (const file of MADE_OF) hash.update(`${file}\0`).update(readFileSync(file));
  const kept = join(CACHE, hash.digest('hex').slice(0, 16));
  if (existsSync(kept)) return kept;

  const server = await make(join(home, 'making'));
  await server.stop();
  await mkdir(CACHE, { recursive: true });
  const draft = `${kept}.draft-${process.pid}`;
  await run('cp', ['-a', server.dataDir, draft]);
  // Another run may have made the same one at the same time.
  await rename(draft, kept).catch(() => rm(draft, { recursive: true }));
  await rm(server.dataDir, { recursive: true });
  for (const name of await readdir(CACHE))
    if (name !== basename(kept) && !name.includes('draft'))
      await rm(join(dirname(kept), name), { recursive: true, force: true });
  return kept;
}
