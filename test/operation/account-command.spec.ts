import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { built } from '../support/build.js';
import {
  charge,
  openSite,
  runToEnd,
  startProgram,
  type Program,
  type Site,
} from './operation.support.js';

let site: Site;
let api: Program;
beforeAll(async () => {
  site = await openSite();
  api = await startProgram('main.js', site.env);
});
afterAll(async () => {
  await api.stop();
  await site.close();
});

const account = (...args: string[]) =>
  runToEnd('account.js', { DATABASE_URL: site.databaseUrl }, args);
const keyIn = (output: string) => /^API key +(sk_test_\S+)$/m.exec(output)?.[1] ?? '';
const accountIn = (output: string) => /\bacct_\w+/.exec(output)?.[0] ?? '';

describe('npm run account', () => {
  it('creates an account whose key works at once and is kept as a hash only', async () => {
    const { exit, output } = await account('create', 'Umbrella Ltd');
    expect(exit).toBe(0);
    const apiKey = keyIn(output);
    expect((await charge({ apiKey }, api.url, 'created-1')).status).toBe(201);
    const { rows } = await site.db.query('SELECT * FROM api_keys');
    expect(JSON.stringify(rows)).not.toContain(apiKey);
    const listed = (await account('list')).output;
    expect(listed).toContain('Umbrella Ltd');
    expect(listed).not.toContain(apiKey);
  });

  it('rotates: a new key of the account replays what the old one began, the revoked one gets 401', async () => {
    const made = (await account('create', 'Rotating')).output;
    const old = keyIn(made);
    const first = await charge({ apiKey: old }, api.url, 'rotated-1');
    const added = await account('add-key', accountIn(made));
    expect(added.exit).toBe(0);
    const fresh = keyIn(added.output);

    expect(await account('revoke', old)).toMatchObject({ exit: 0 });
    const refused = await charge({ apiKey: old }, api.url, 'rotated-1');
    expect(refused).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    const replay = await charge({ apiKey: fresh }, api.url, 'rotated-1');
    expect(replay.text).toBe(first.text);
    expect(replay.headers['idempotent-replayed']).toBe('true');
  });

  it('revokes a key that nobody has any more by its hint, and one from standard input', async () => {
    const made = (await account('create', 'Forgetful')).output;
    const hint = /^Hint +(\w{8})$/m.exec(made)?.[1] ?? '';
    expect((await account('revoke', accountIn(made), hint)).exit).toBe(0);
    expect((await charge({ apiKey: keyIn(made) }, api.url, 'hinted-1')).status).toBe(401);
    expect((await account('list')).output).toMatch(new RegExp(`${hint} +since .*, revoked `));

    const second = keyIn((await account('add-key', accountIn(made))).output);
    const child = spawn(process.execPath, [built('src/account.js'), 'revoke', '-'], {
      env: { PATH: process.env.PATH, DATABASE_URL: site.databaseUrl },
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin.end(`${second}\n`);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect((await charge({ apiKey: second }, api.url, 'piped-1')).status).toBe(401);
  });

  it.each([
    [[], 64, 'Usage'],
    [['create'], 64, 'That is no command'],
    [['create', ' '], 64, '1 to 255 characters'],
    [['create', 'two\nlines'], 64, 'visible'],
    [['add-key', 'acct_nobody'], 1, 'There is no account acct_nobody'],
    [['revoke', 'sk_test_unknown'], 1, 'No account has this key'],
    [['revoke', 'acct_nobody', '12345678'], 1, 'There is no account'],
    [['--help'], 0, 'add-key'],
  ])('%j ends with %i and says so', async (args, exit, says) => {
    const result = await account(...args);
    expect(result.exit).toBe(exit);
    expect(result.output).toContain(says);
    expect(result.output).not.toMatch(/^\s+at /m);
  });

  it('ends with 78 and one line when it has no database', async () => {
    const { exit, output } = await runToEnd('account.js', {}, ['list']);
    expect(exit).toBe(78);
    expect(output.trim().split('\n')).toEqual([expect.stringContaining('DATABASE_URL is not set')]);
  });
});
