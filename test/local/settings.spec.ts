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

  it('make no demo accounts where real cards are charged', async () => {
    const live = { ...free, STRIPE_SECRET_KEY: 'sk_live_x', ALLOW_LIVE: '1' };
    expect((await localSettings(live)).demoAccounts).toBe(false);
  });
});
