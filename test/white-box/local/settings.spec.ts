import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError } from '../../../src/environment/environment.js';
import { commandEnvironment } from '../../../src/local/running.js';
import { localSettings } from '../../../src/local/settings.js';

// Port 0 is any free port, so these tests need no particular one.
const free = { PORT: '0', WORKER_PORT: '0', SANDBOX_PORT: '0', LAB_PORT: '0' };

describe('a command without DATABASE_URL', () => {
  let dataDir: string;
  let other: ChildProcess;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'charge-once-running-'));
    await mkdir(join(dataDir, 'running'));
    await run('src/programs/local.js');
  });
  afterEach(async () => {
    await stop();
    await rm(dataDir, { recursive: true });
  });
  /** A process whose command line contains the program. */
  async function run(program: string): Promise<void> {
    const args = ['-e', 'setInterval(() => undefined, 1_000)', program];
    other = spawn(process.execPath, args, { stdio: 'ignore' });
    await once(other, 'spawn');
  }
  async function stop(): Promise<void> {
    other.kill('SIGKILL');
    await once(other, 'exit');
  }
  const announce = (pid: number | undefined, ready: boolean) =>
    writeFile(
      join(dataDir, 'running', `${pid}.json`),
      JSON.stringify({ ready, databaseUrl: 'postgres://local', urls: { sandbox: 'http://s' } }),
    );

  it('uses the database and the sandbox of the running `npm start`', async () => {
    await announce(other.pid, true);
    const env = { DATA_DIR: dataDir, PGSSLMODE: 'require' };
    const found = { DATABASE_URL: 'postgres://local', PROCESSOR_URL: 'http://s' };
    expect(await commandEnvironment(env)).toEqual({ DATA_DIR: dataDir, ...found });
    const elsewhere = { DATA_DIR: dataDir, PROCESSOR_URL: 'http://mine' };
    expect(await commandEnvironment(elsewhere)).toMatchObject(elsewhere);
  });

  it('uses those of `npm run dev`', async () => {
    await stop();
    await run('build/dev.mjs');
    await announce(other.pid, true);
    const found = await commandEnvironment({ DATA_DIR: dataDir });
    expect(found).toMatchObject({ DATABASE_URL: 'postgres://local' });
  });

  it('is refused while that is not ready, and if none runs', async () => {
    await announce(other.pid, false);
    const refusal = () => commandEnvironment({ DATA_DIR: dataDir });
    await expect(refusal()).rejects.toThrow('`npm start` is not ready yet.');
    await rm(join(dataDir, 'running', `${other.pid}.json`));
    await announce(process.ppid, true); // a pid that another program has now
    await expect(refusal()).rejects.toThrow(/^DATABASE_URL is not set, and no `npm start` /);
  });

  it('uses a set DATABASE_URL, and the PG variables', async () => {
    await announce(other.pid, true);
    const env = { DATA_DIR: dataDir, DATABASE_URL: 'postgres://mine', PGSSLMODE: 'require' };
    expect(await commandEnvironment(env)).toEqual(env);
  });
});

describe('the settings of npm start', () => {
  it('turn the lab on and make demo accounts', async () => {
    const settings = await localSettings(free);
    expect(settings).toMatchObject({ lab: true, demoAccounts: true, databaseUrl: undefined });
    expect(settings.env.LAB).toBe('1');
    expect(new URL(settings.urls.api).port).toBe(settings.env.PORT);
  });

  it('leave the sandbox out if STRIPE_SECRET_KEY or PROCESSOR_URL is set', async () => {
    const stripe = await localSettings({ ...free, STRIPE_SECRET_KEY: 'sk_test_x' });
    const other = await localSettings({ ...free, PROCESSOR_URL: 'http://127.0.0.1:1' });
    expect([stripe.urls.sandbox, other.urls.sandbox]).toEqual([undefined, undefined]);
    expect((await localSettings(free)).urls.sandbox).toBeDefined();
  });

  it.each(['PORT', 'WORKER_PORT', 'SANDBOX_PORT', 'LAB_PORT'])(
    'name the variable of a taken %s',
    async (name) => {
      const other = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      const { port } = other.address() as { port: number };
      try {
        await expect(localSettings({ ...free, [name]: String(port) })).rejects.toThrow(
          `Port ${port} (${name}) is taken; stop what listens there or set ${name}=…`,
        );
      } finally {
        other.close();
      }
    },
  );

  it('refuse one port for two programs', async () => {
    const { env } = await localSettings(free);
    await expect(localSettings({ ...free, PORT: env.PORT, WORKER_PORT: env.PORT })).rejects.toThrow(
      `PORT and WORKER_PORT are both ${env.PORT}; change one.`,
    );
  });

  it('refuse NODE_ENV=production, except without the lab, and then make no demo accounts', async () => {
    const production = { ...free, NODE_ENV: 'production' };
    await expect(localSettings(production)).rejects.toThrow(ConfigurationError);
    await expect(localSettings(production)).rejects.toThrow(/local teaching set-up.*LAB=0/);
    expect(await localSettings({ ...production, LAB: '0' })).toMatchObject({
      lab: false,
      demoAccounts: false,
    });
  });

  it('have the lab’s own program and its journal with the sandbox, and nothing of them without the lab', async () => {
    const { env, urls, labJournal } = await localSettings(free);
    expect(env).toMatchObject({ LAB_URL: urls.lab, LAB_JOURNAL: labJournal });
    expect(new URL(urls.lab ?? '').port).toBe(env.LAB_PORT);
    for (const other of [{ LAB: '0' }, { STRIPE_SECRET_KEY: 'sk_test_x' }]) {
      const without = await localSettings({ ...free, ...other });
      expect([without.urls.lab, without.labJournal]).toEqual([undefined, undefined]);
      expect(without.env).not.toHaveProperty('LAB_JOURNAL');
    }
  });

  it('let the sandbox notify the API, with a secret that this start generates', async () => {
    const [first, second] = [await localSettings(free), await localSettings(free)];
    const { env, urls } = first;
    expect(env.SANDBOX_WEBHOOK_URL).toBe(`${urls.api}/webhooks/processor`);
    expect(env.PROCESSOR_WEBHOOK_SECRET).toMatch(/^whsec_[\w-]{32}$/);
    expect(env.SANDBOX_WEBHOOK_SECRET).toBe(env.PROCESSOR_WEBHOOK_SECRET);
    expect(second.env.PROCESSOR_WEBHOOK_SECRET).not.toBe(env.PROCESSOR_WEBHOOK_SECRET);
  });

  it('send notifications after the answer, or after the 504 that replaces it', async () => {
    const delay = async (env: Record<string, string>) =>
      (await localSettings({ ...free, ...env })).env.SANDBOX_WEBHOOK_DELAY_MS;
    expect(await delay({})).toBe('8500');
    expect(await delay({ PROCESSOR_TIMEOUT_MS: '1000' })).toBe('1500');
    expect(await delay({ SANDBOX_WEBHOOK_DELAY_MS: '0' })).toBe('0');
  });

  it('keep the user’s settings for notifications, and set none for another processor', async () => {
    const set = {
      PROCESSOR_WEBHOOK_SECRET: 'whsec_of-my-own-here',
      SANDBOX_WEBHOOK_URL: 'http://127.0.0.1:9/proxy',
    };
    const { env } = await localSettings({ ...free, ...set });
    expect(env).toMatchObject({ ...set, SANDBOX_WEBHOOK_SECRET: set.PROCESSOR_WEBHOOK_SECRET });
    const stripe = await localSettings({ ...free, STRIPE_SECRET_KEY: 'sk_test_x' });
    expect(stripe.env.PROCESSOR_WEBHOOK_SECRET).toBeUndefined();
    expect(stripe.env.SANDBOX_WEBHOOK_URL).toBeUndefined();
  });

  it('make no demo accounts if real cards are charged', async () => {
    const live = { ...free, STRIPE_SECRET_KEY: 'sk_live_x', ALLOW_LIVE: '1' };
    expect((await localSettings(live)).demoAccounts).toBe(false);
  });
});
