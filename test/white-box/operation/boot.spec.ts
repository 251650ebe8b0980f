import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { loadConfig } from '../../../src/config.js';
import {
  checkDatabase,
  ReadOnlyDatabase,
  UnfitDatabase,
} from '../../../src/database/database-check.js';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../../src/local/embedded-postgres.js';
import { refusalOf } from '../../../src/programs/run-program.js';
import { copyCluster, freshDatabase } from '../../support/database.js';
import { until } from '../../support/until.js';
import { runToEnd, send, startProgram } from '../../operation/operation.support.js';

const ENV = { PROCESSOR_URL: 'http://127.0.0.1:9', PORT: '0', WORKER_PORT: '0' };

/** One line that says why; 78 means that a supervisor must not retry. */
async function expectRefusal(
  env: Record<string, string>,
  says: RegExp,
  { exit = 78, scripts = ['api.js'] } = {},
) {
  for (const script of scripts) {
    const result = await runToEnd(script, { ...ENV, ...env });
    expect(result.output.trim().split('\n')).toEqual([expect.stringMatching(says)]);
    expect(result.exit).toBe(exit);
  }
}

/** The same in this process: the checks that both programs start with. */
async function expectRefusalHere(env: Record<string, string>, says: RegExp, exitCode = 78) {
  const refusal = await Promise.resolve()
    .then(() => loadConfig({ ...ENV, ...env }))
    .then((config) => checkDatabase(config.databaseUrl, config.allowUnsafeDatabase))
    .then(() => undefined, refusalOf);
  expect(refusal).toEqual({ line: expect.stringMatching(says), exitCode });
  expect(refusal!.line).not.toContain('\n');
}

/** Databases, and the error of each. */
const UNSAFE = {
  forgetful: 'synchronous_commit = off',
  careless: 'zero_damaged_pages = on',
  blind: 'ignore_checksum_failure = on',
  loose: 'session_replication_role = replica',
  standby: 'default_transaction_read_only = on',
};

describe('API and worker refuse to start', () => {
  let cluster: EmbeddedPostgres;
  let home: string;
  const durable = (database: string) => cluster.adminUrl.replace(/postgres$/, database);

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'charge-once-boot-'));
    await chmod(home, 0o755);
    await copyCluster(join(home, 'pg'));
    cluster = await startEmbeddedPostgres({ dataDir: join(home, 'pg'), database: 'charge_once' });
    const admin = new pg.Client({ connectionString: cluster.adminUrl });
    await admin.connect();
    await admin.query(
      `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER 'libc' TEMPLATE template0`,
    );
    for (const [database, setting] of Object.entries(UNSAFE)) {
      await admin.query(`CREATE DATABASE ${database} TEMPLATE charge_once`);
      await admin.query(`ALTER DATABASE ${database} SET ${setting}`);
    }
    await admin.query('CREATE DATABASE empty');
    await admin.query('CREATE DATABASE behind TEMPLATE charge_once');
    await admin.query('CREATE DATABASE old TEMPLATE charge_once');
    await admin.end();
    const behind = new pg.Client({ connectionString: durable('behind') });
    await behind.connect();
    await behind.query(`DELETE FROM migrations WHERE name LIKE 'Charges%'`);
    await behind.end();
    const old = new pg.Client({ connectionString: durable('old') });
    await old.connect();
    await old.query(
      `INSERT INTO migrations ("timestamp", name) VALUES (1763760001000, 'Accounts1763760001000')`,
    );
    await old.end();
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(home, { recursive: true, force: true });
  });

  it('on a server that runs without fsync', async () => {
    const database = await freshDatabase(); // as the tests' cluster does
    await expectRefusal({ DATABASE_URL: database.url }, /^The database runs with fsync=off: /, {
      scripts: ['api.js', 'worker.js'],
    });
    await expectRefusalHere(
      { DATABASE_URL: database.url, ALLOW_UNSAFE_DATABASE: '1', NODE_ENV: 'production' },
      /^ALLOW_UNSAFE_DATABASE=1 is refused with NODE_ENV=production/,
    );
    await database.drop();
  });

  const expectUnfit = async (url: string, says: RegExp) => {
    const refusal = checkDatabase(url, false);
    await expect(refusal).rejects.toThrow(UnfitDatabase);
    await expect(refusal).rejects.toThrow(says);
  };

  it('if a commit does not wait for the disk', () =>
    expectUnfit(durable('forgetful'), /runs with synchronous_commit=off: /));

  it('if damage would stay undetected, or foreign keys are not enforced', async () => {
    await expectUnfit(durable('careless'), /runs with zero_damaged_pages=on: /);
    await expectUnfit(durable('blind'), /runs with ignore_checksum_failure=on: /);
    await expectUnfit(durable('loose'), /runs with session_replication_role=replica: /);
  });

  it('if a power loss could tear a page', async () => {
    const admin = new pg.Client({ connectionString: cluster.adminUrl });
    await admin.connect();
    const pages = async (setting: string) => {
      await admin.query(`ALTER SYSTEM SET full_page_writes = ${setting}`);
      await admin.query('SELECT pg_reload_conf()');
      await until(
        async () =>
          (await admin.query('SHOW full_page_writes')).rows[0].full_page_writes === setting,
      );
    };
    await pages('off');
    await expectUnfit(durable('charge_once'), /runs with full_page_writes=off: /);
    await pages('on');
    await admin.end();
  });

  it('for now, on a read-only database', async () => {
    await expect(checkDatabase(durable('standby'), false)).rejects.toThrow(ReadOnlyDatabase);
    const env = { DATABASE_URL: durable('standby') };
    await expectRefusalHere(env, /^The database is read-only: /, 1);
  });

  it('on an encoding that cannot store all text', () =>
    expectUnfit(durable('latin'), /encoding is LATIN1/));

  it('on an empty database, and on one that lacks a migration', async () => {
    await expectUnfit(durable('empty'), /lacks (\d+) of \1 migrations\. Run `npm run migrate`/);
    await expectUnfit(durable('behind'), /lacks 1 of \d+ migrations/);
  });

  it('on a database that a version before 0.2 made; `npm run migrate` refuses it too', () =>
    expectRefusal(
      { DATABASE_URL: durable('old') },
      /^The database was made by a version before 0\.2, /,
      {
        scripts: ['api.js', 'migrate.js'],
      },
    ));

  it('with a wrong password or an unknown database, without printing either', async () => {
    const url = new URL(cluster.url);
    url.password = 'not-the-password';
    await expectRefusalHere(
      { DATABASE_URL: url.href },
      /^The database refuses user or password \(28P01\)/,
    );
    await expectRefusalHere({ DATABASE_URL: durable('nowhere') }, /^There is no such database/);
  });

  it('over TLS that the server does not have', () =>
    expectRefusal({ DATABASE_URL: cluster.url, PGSSLMODE: 'require' }, /^The database has no TLS/));

  it('for now, if no server listens: a supervisor may retry', () =>
    expectRefusal(
      { DATABASE_URL: 'postgres://u:p@127.0.0.1:9/x' },
      /^The database cannot be reached: .*ECONNREFUSED/,
      { exit: 1 },
    ));

  it('but not on a correct one, which `npm run migrate` makes from an empty one', async () => {
    const made = await runToEnd('migrate.js', { DATABASE_URL: durable('empty') });
    expect(made).toEqual({ exit: 0, output: 'The database is up to date.\n' });
    const api = await startProgram('api.js', { ...ENV, DATABASE_URL: durable('empty') });
    expect((await send(`${api.url}/health/ready`)).status).toBe(200);
    expect(api.output()).not.toContain('not in force');
    expect(await api.stop('SIGINT')).toBe(0);
  });
});
