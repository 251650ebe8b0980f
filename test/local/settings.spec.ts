import { describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { ConfigurationError } from '../../src/config.js';
import { localSettings } from '../../src/local-settings.js';

// Port 0 is any free port, so that these tests need no particular one.
const free = { PORT: '0', WORKER_PORT: '0', SANDBOX_PORT: '0' };

describe('the settings of npm start', () => {
  it('turn the lab on and make demo accounts', async () => {
    const settings = await localSettings(free);
    expect(settings).toMatchObject({ lab: true, demoAccounts: true, databaseUrl: undefined });
    expect(settings.env.LAB).toBe('1');
    expect(new URL(settings.urls.api).port).toBe(settings.env.PORT);
  });

  it('leave the sandbox out when charges go somewhere else', async () => {
    const stripe = await localSettings({ ...free, STRIPE_SECRET_KEY: 'sk_test_x' });
    const other = await localSettings({ ...free, PROCESSOR_URL: 'http://127.0.0.1:1' });
    expect([stripe.urls.sandbox, other.urls.sandbox]).toEqual([undefined, undefined]);
    expect((await localSettings(free)).urls.sandbox).toBeDefined();
  });

  it.each(['PORT', 'WORKER_PORT', 'SANDBOX_PORT'])(
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

  it('let the sandbox notify the API, under a secret of this start that both know', async () => {
    const [first, second] = [await localSettings(free), await localSettings(free)];
    const { env, urls } = first;
    expect(env.SANDBOX_WEBHOOK_URL).toBe(`${urls.api}/webhooks/processor`);
    expect(env.PROCESSOR_WEBHOOK_SECRET).toMatch(/^whsec_[\w-]{32}$/);
    expect(env.SANDBOX_WEBHOOK_SECRET).toBe(env.PROCESSOR_WEBHOOK_SECRET);
    expect(second.env.PROCESSOR_WEBHOOK_SECRET).not.toBe(env.PROCESSOR_WEBHOOK_SECRET);
  });

  it('send notifications when the answer has been given, or the 504 in its place', async () => {
    const delay = async (env: Record<string, string>) =>
      (await localSettings({ ...free, ...env })).env.SANDBOX_WEBHOOK_DELAY_MS;
    expect(await delay({})).toBe('8500');
    expect(await delay({ PROCESSOR_TIMEOUT_MS: '1000' })).toBe('1500');
    expect(await delay({ SANDBOX_WEBHOOK_DELAY_MS: '0' })).toBe('0');
  });

  it('leave what the user has set for notifications, and all of it to a processor elsewhere', async () => {
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

  it('make no demo accounts where real cards are charged', async () => {
    const live = { ...free, STRIPE_SECRET_KEY: 'sk_live_x', ALLOW_LIVE: '1' };
    expect((await localSettings(live)).demoAccounts).toBe(false);
  });
});
