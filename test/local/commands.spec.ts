import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isAlive, signal, waitForDeath } from '../support/internals.js';
import { buildEnv, built, builtModule } from '../support/build.js';
import { charge } from '../support/raw-client.js';
import { startStack, type Stack } from '../support/stack.js';
import { PATIENCE_MS } from '../support/until.js';

/** Variables of a shell that is set up for another server. */
const PG = {
  PGHOST: '192.0.2.1',
  PGPORT: '1',
  PGUSER: 'stranger',
  PGPASSWORD: 'theirs',
  PGDATABASE: 'theirs',
  PGSSLMODE: 'require',
  PGOPTIONS: '-c search_path=theirs',
  PGAPPNAME: 'theirs',
};

let dataDir: string;
let stack: Stack;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'charge-once-commands-'));
  await chmod(dataDir, 0o755); // under root, PostgreSQL runs as another user
  stack = await startStack({ embedded: true, dataDir, env: PG });
});
afterAll(async () => {
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

interface Result {
  code: number;
  output: string;
}

/** What `npm run …` runs, in a terminal with only DATA_DIR set, as for `npm start`. */
function run(script: string, args: string[] = [], env: Record<string, string> = {}) {
  return new Promise<Result>((done) => {
    execFile(
      process.execPath,
      [script, ...args],
      { env: { PATH: process.env.PATH, DATA_DIR: dataDir, ...PG, ...buildEnv(), ...env } },
      (error, stdout, stderr) => {
        done({ code: Number(error?.code ?? 0), output: (stdout + stderr).trim() });
      },
    );
  });
}

describe('while `npm start` runs, in another terminal', () => {
  it('a charge is made, whatever PG variables the shell has', async () => {
    const made = await charge(stack.apiUrl, 'purchase-1');
    expect(made.status).toBe(201);
  });

  it.each<[string, string[], RegExp]>([
    ['audit.js', [], /^\d+ invariants, 0 findings, sandbox$/],
    ['reconcile.js', [], /^1 payments and 0 refunds of sandbox, 0 differences$/],
    ['jobs.js', ['list'], /^0 parked$/],
    ['account.js', ['list'], /^acct_\w+ {2}acme\n/],
  ])('%s finds its database and its sandbox', async (script, args, says) => {
    expect(await run(built(`src/programs/${script}`), args)).toEqual({
      code: 0,
      output: expect.stringMatching(says),
    });
  });

  it.each([
    ['audit', '--no-such-option', 64],
    ['audit', '--help', 0],
    ['reconcile', '--no-such-option', 64],
    ['jobs', '--no-such-option', 64],
    ['jobs', '--help', 0], // the same for `account`
    ['account', '--no-such-option', 64],
    ['lab-cli', '--no-such-option', 64],
  ])('%s %s exits with %i, prints its usage, and does nothing', async (name, option, code) => {
    const output = expect.stringContaining(`Usage: npm run ${name.replace('-cli', '')}`);
    expect(await run(built(`src/programs/${name}.js`), [option])).toEqual({ code, output });
  });

  it('TypeORM finds the one data source, and every migration applied', async () => {
    const shown = await run(resolve('node_modules/typeorm/cli.js'), [
      'migration:show',
      '-d',
      builtModule('src/programs/data-source.js'),
    ]);
    expect(shown).toMatchObject({ code: 0, output: expect.stringMatching(/\[X\] \d+ Accounts/) });
    expect(shown.output).not.toContain('[ ]');
  });

  it('a DATABASE_URL that is set is used', async () => {
    const env = { DATABASE_URL: 'postgres://u:p@127.0.0.1:9/x', PGSSLMODE: 'disable' };
    const listed = await run(built('src/programs/jobs.js'), ['list'], env);
    expect(listed).toEqual({
      code: 1,
      output: expect.stringMatching(/^The database cannot be reached: .*ECONNREFUSED/),
    });
  });

  it('the password of the database is in a file that only its user can read', async () => {
    const folder = join(dataDir, 'running');
    const [name = '', ...others] = await readdir(folder);
    expect([name, others]).toEqual([`${stack.supervisorPid}.json`, []]);
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
  });

  it('a second `npm start` shares PostgreSQL and leaves it running', async () => {
    const pid = await stack.pid('postgres');
    const second = await startStack({ embedded: true, dataDir });
    expect(await second.pid('postgres')).toBe(pid);
    expect(await second.stop()).toBe(0);
    expect(await isAlive(pid)).toBe(true);
    expect((await charge(stack.apiUrl, 'purchase-2')).status).toBe(201);
    expect(stack.output()).not.toContain('PostgreSQL');
  });
});

describe('when `npm start` was killed', () => {
  it('none of its processes continue, and a command says in one line that none runs', async () => {
    const names = ['api', 'worker', 'sandbox', 'postgres'] as const;
    const pids = await Promise.all(names.map((name) => stack.pid(name)));
    signal(stack.supervisorPid, 'SIGKILL');
    for (const pid of [stack.supervisorPid, ...pids])
      expect(await waitForDeath(pid, PATIENCE_MS)).toBe(true);
    expect(await readdir(join(dataDir, 'running'))).toHaveLength(1); // the killed process left this
    expect(await run(built('src/programs/audit.js'))).toEqual({
      code: 78,
      output: expect.stringMatching(
        /^DATABASE_URL is not set, and no `npm start` .* runs on .*\/running\. .*$/,
      ),
    });
  });
});
