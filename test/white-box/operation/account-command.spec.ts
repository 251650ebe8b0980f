import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { runAccountCommand } from '../../../src/accounts/account.commands.js';
import { captureOutput } from '../../../src/database/command.js';
import { databaseOptions, TypeOrmDatabase } from '../../../src/database/database.js';
import { built } from '../../support/build.js';
import { startService, type Service } from '../../support/service.js';
import { charge, runToEnd } from '../../operation/operation.support.js';

let service: Service;
let db: DataSource;
beforeAll(async () => {
  service = await startService();
  db = await new DataSource(databaseOptions(service.databaseUrl, 1)).initialize();
});
afterAll(async () => {
  await db.destroy();
  await service.stop();
});

/** The command, without its process. */
async function account(...args: string[]) {
  const { text, exitCode } = await captureOutput(() =>
    runAccountCommand(new TypeOrmDatabase(db), args, async () => ''),
  );
  return { exit: exitCode, output: text };
}
const program = (...args: string[]) =>
  runToEnd('account.js', { DATABASE_URL: service.databaseUrl }, args);
const keyIn = (output: string) => /^API key +(sk_test_\S+)$/m.exec(output)?.[1] ?? '';
const accountIn = (output: string) => /\bacct_\w+/.exec(output)?.[0] ?? '';

describe('npm run account', () => {
  it('creates an account whose key works immediately and is stored only as a hash', async () => {
    const { exit, output } = await program('create', 'Umbrella Ltd');
    expect(exit).toBe(0);
    const apiKey = keyIn(output);
    expect((await charge({ apiKey }, service.apiUrl, 'created-1')).status).toBe(201);
    const { rows } = await service.db.query('SELECT * FROM api_keys');
    expect(JSON.stringify(rows)).not.toContain(apiKey);
    const listed = (await account('list')).output;
    expect(listed).toContain('Umbrella Ltd');
    expect(listed).not.toContain(apiKey);
  });

  it('rotates: the new API key replays requests of the old one, which gets 401', async () => {
    const made = (await account('create', 'Rotating')).output;
    const old = keyIn(made);
    const first = await charge({ apiKey: old }, service.apiUrl, 'rotated-1');
    const added = await account('add-key', accountIn(made));
    expect(added.exit).toBe(0);
    const fresh = keyIn(added.output);

    expect(await account('revoke', old)).toMatchObject({ exit: 0 });
    await delay(1_000); // real time: a process caches a key for this long
    const refused = await charge({ apiKey: old }, service.apiUrl, 'rotated-1');
    expect(refused).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    const replay = await charge({ apiKey: fresh }, service.apiUrl, 'rotated-1');
    expect(replay.text).toBe(first.text);
    expect(replay.headers['idempotent-replayed']).toBe('true');
  });

  it('revokes a lost key by its hint, and a key from standard input', async () => {
    const made = (await account('create', 'Forgetful')).output;
    const hint = /^Hint +(\w{8})$/m.exec(made)?.[1] ?? '';
    expect((await account('revoke', accountIn(made), hint)).exit).toBe(0);
    expect((await charge({ apiKey: keyIn(made) }, service.apiUrl, 'hinted-1')).status).toBe(401);
    expect((await account('list')).output).toMatch(new RegExp(`${hint} +since .*, revoked `));

    const second = keyIn((await account('add-key', accountIn(made))).output);
    const child = spawn(process.execPath, [built('src/programs/account.js'), 'revoke', '-'], {
      env: { PATH: process.env.PATH, DATABASE_URL: service.databaseUrl },
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin.end(`${second}\n`);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect((await charge({ apiKey: second }, service.apiUrl, 'piped-1')).status).toBe(401);
  });

  it.each([
    [['create'], 64, 'Unknown command'],
    [['create', ' '], 64, '1 to 255 characters'],
    [['create', 'two\nlines'], 64, 'control characters'],
    [['add-key', 'acct_nobody'], 1, 'There is no account acct_nobody'],
    [['revoke', 'sk_test_unknown'], 1, 'No account has this key'],
    [['revoke', 'acct_nobody', '12345678'], 1, 'There is no account'],
  ])('%j exits with %i and says why', async (args, exit, says) => {
    const result = await account(...args);
    expect(result.exit).toBe(exit);
    expect(result.output).toContain(says);
  });

  it.each([
    [[], 64, 'Usage'],
    [['create', ' '], 64, '1 to 255 characters'],
    [['revoke', 'sk_test_unknown'], 1, 'No account has this key'],
  ])('as a program %j exits with %i and says why, without a stack', async (args, exit, says) => {
    const result = await program(...args);
    expect(result.exit).toBe(exit);
    expect(result.output).toContain(says);
    expect(result.output).not.toMatch(/^\s+at /m);
  });

  it('exits with 78 and one line without a database', async () => {
    const { exit, output } = await runToEnd('account.js', {}, ['list']);
    expect(exit).toBe(78);
    expect(output.trim().split('\n')).toEqual([expect.stringContaining('DATABASE_URL is not set')]);
  });
});
