import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { build, isAlive } from '../../build/build.mjs';
import { stoppedCluster, TEMPLATE_DATABASE } from './stopped-cluster.mjs';

const run = promisify(execFile);
const PREFIX = 'charge-once-test-';

/** A new cluster for each run: a reused one could carry over changes of an earlier or parallel run. */
export default async function globalSetup() {
  // Programs and this setup run from the build, where Jest does not map `.js` to `.ts`. `dist` stays untouched for its
  // users.
  const folder = (process.env.CHARGE_ONCE_TEST_BUILD = await build());
  const modules = `${folder}/modules/src`;
  const { startEmbeddedPostgres } = await import(`${modules}/local/embedded-postgres.js`);
  const { ignorePgVariables } = await import(`${modules}/config.js`);
  ignorePgVariables(); // the shell's variables are for another server
  if (await hasRoom(IN_MEMORY)) process.env.TMPDIR = IN_MEMORY; // the tests' own directories are also there
  await removeLeftovers();
  const home = join(tmpdir(), `${PREFIX}${process.pid}`);
  await rm(home, { recursive: true, force: true });
  await mkdir(home, { recursive: true });
  await chmod(home, 0o755); // under root, the server runs as another user
  const start = (dataDir) =>
    startEmbeddedPostgres({
      dataDir,
      database: TEMPLATE_DATABASE,
      durable: false,
      extraSettings: { max_connections: '200' },
    });
  // Tests with their own server copy it, too.
  process.env.CHARGE_ONCE_TEST_CLUSTER = await stoppedCluster(home, async (dataDir) => {
    const making = await start(dataDir);
    const { migrate } = await import(`${modules}/database/migrate.js`);
    await migrate(making.url);
    await asAdmin(making, `CREATE DATABASE charge_once TEMPLATE ${TEMPLATE_DATABASE}`);
    return making;
  });
  const dataDir = join(home, 'postgres');
  await run('cp', ['-a', process.env.CHARGE_ONCE_TEST_CLUSTER, dataDir]);
  const server = await start(dataDir);
  globalThis.chargeOnceTestCluster = { server, home };
  process.env.CHARGE_ONCE_TEST_ADMIN_URL = server.adminUrl;
}

/**
 * A RAM disk, where fsync costs nothing. A killed server finds its files there as on a disk. On a disk, a dozen servers
 * with full durability would wait for each other, a third of the run's time.
 */
const IN_MEMORY = '/dev/shm';

async function hasRoom(folder) {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize > 4e9; // in a container it often has only 64 MB
}

async function asAdmin(server, statement) {
  const client = new pg.Client({ connectionString: server.adminUrl });
  await client.connect();
  await client.query(statement);
  await client.end();
}

/** Removes the clusters of killed runs. */
async function removeLeftovers() {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(tmpdir(), name);
    // By age as well: a run in another container may share this directory, and its pids mean nothing here.
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (age > 3_600_000 && !isAlive(name.slice(PREFIX.length))) {
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}
