import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { SESSION_LIMITS_MS, checkDatabase, freePort } from '../support/internals.js';
import { until } from '../support/until.js';
import { charge, openSite, startProgram, type Site } from './operation.support.js';

const NAMES = Object.keys(SESSION_LIMITS_MS);
let site: Site;
beforeAll(async () => {
  site = await openSite();
  // The programs record the settings of their own sessions, during their own statements.
  await site.db.query(`CREATE TABLE seen (name text, setting bigint)`);
  await site.db.query(
    `CREATE FUNCTION note() RETURNS boolean LANGUAGE sql VOLATILE AS $$
       INSERT INTO seen SELECT name, setting::bigint FROM pg_settings
       WHERE name IN (${NAMES.map((name) => `'${name}'`).join(', ')});
       SELECT true $$`,
  );
  await site.db.query('ALTER TABLE charges ADD CONSTRAINT noted CHECK (note()) NOT VALID');
});
afterAll(() => site.close());

async function seen(): Promise<Record<string, number>> {
  const { rows } = await site.db.query<{ name: string; setting: string }>(
    'SELECT DISTINCT name, setting FROM seen',
  );
  expect(rows).toHaveLength(NAMES.length);
  await site.db.query('TRUNCATE seen');
  return Object.fromEntries(rows.map(({ name, setting }) => [name, Number(setting)]));
}

describe('statement, lock and idle timeouts and the connection check', () => {
  it('are in force in the sessions that charge', async () => {
    const api = await startProgram('api.js', site.env);
    expect((await charge(site, api.url, 'limits-1')).status).toBe(201);
    expect(await seen()).toEqual(SESSION_LIMITS_MS);
    await api.stop();
  });

  it('end a transaction whose process sleeps', async () => {
    const { databaseUrl: connectionString } = site;
    const sleeper = new pg.Client({
      connectionString,
      options: '-c idle_in_transaction_session_timeout=100',
    });
    const lost = once(sleeper, 'error');
    sleeper.on('error', () => undefined); // the end of the connection is a second error
    await sleeper.connect();
    await sleeper.query('BEGIN; LOCK TABLE charges');
    await lost;
    await site.db.query('SELECT count(*) FROM charges');
  });
});

const PGBOUNCER =
  spawnSync('pgbouncer', ['--version']).status === 0 ? 'pgbouncer' : '/usr/sbin/pgbouncer';
const installed = spawnSync(PGBOUNCER, ['--version']).status === 0;
if (!installed) console.warn('PgBouncer is not installed: its tests are skipped');

(installed ? describe : describe.skip)('behind PgBouncer in transaction mode', () => {
  let bouncer: ChildProcess;
  let home: string;
  let url: string;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'charge-once-bouncer-'));
    await chmod(home, 0o755);
    const target = new URL(site.databaseUrl);
    const port = await freePort();
    const database = target.pathname.slice(1);
    await writeFile(
      join(home, 'users.txt'),
      `"${target.username}" "${decodeURIComponent(target.password)}"\n`,
    );
    await writeFile(
      join(home, 'pgbouncer.ini'),
      `[databases]
${database} = host=${target.hostname} port=${target.port} dbname=${database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${join(home, 'users.txt')}
pool_mode = transaction
ignore_startup_parameters = options
`,
    );
    // PgBouncer refuses to run as root.
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    bouncer = spawn(PGBOUNCER, [join(home, 'pgbouncer.ini')], { stdio: 'ignore', ...nobody });
    target.port = String(port);
    url = target.href;
    await until(async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.end();
      return true;
    });
  });
  afterAll(async () => {
    if (bouncer.exitCode === null) {
      bouncer.kill('SIGKILL');
      await once(bouncer, 'exit');
    }
    await rm(home, { recursive: true, force: true });
  });

  it('are checked at boot; the error contains the statements that set them', async () => {
    const warnings = await checkDatabase(url, true);
    expect(warnings.map((line) => line.split(' ')[0])).toEqual(
      expect.arrayContaining([
        'statement_timeout',
        'lock_timeout',
        'idle_in_transaction_session_timeout',
      ]),
    );
    const api = await startProgram('api.js', { ...site.env, DATABASE_URL: url });
    expect((await charge(site, api.url, 'limits-2')).status).toBe(201);
    const logged = api.lines().filter(({ context }) => context === 'Database');
    expect(logged.map(({ msg }) => msg)).toEqual(warnings);
    await api.stop();
    await site.db.query('TRUNCATE seen');
  });

  it('are in force once the role or the database has them', async () => {
    const name = new URL(url).pathname.slice(1);
    for (const [setting, ms] of Object.entries(SESSION_LIMITS_MS))
      await site.db.query(`ALTER DATABASE ${name} SET ${setting} = ${ms}`);
    bouncer.kill('SIGHUP'); // reload; its server connections are replaced below
    await site.db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> ''`,
    );
    await until(async () => (await checkDatabase(url, true)).length === 0);
    const api = await startProgram('api.js', { ...site.env, DATABASE_URL: url });
    expect((await charge(site, api.url, 'limits-3')).status).toBe(201);
    expect(await seen()).toEqual(SESSION_LIMITS_MS);
    await api.stop();
  });
});
