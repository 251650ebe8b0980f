import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SupervisedChild } from '../../../src/local/supervisor.js';
import { waitForDeath } from '../../../src/local/processes.js';
import { until } from '../../support/until.js';
import { RUN_ON, Supervision } from './supervisor.support.js';

const supervised = new Supervision();
beforeEach(() => supervised.begin());
afterEach(() => supervised.end());

describe('a child that waits for part of its environment', () => {
  /** Loads, then is ready as soon as it gets the message. */
  const WAITS = `
    import { once } from 'node:events';
    writeFileSync(home + '/loaded-' + process.pid, '');
    const [{ WORD }] = await once(process, 'message');
    writeFileSync(home + '/word', process.argv.at(-1) + WORD);
    ready(); ${RUN_ON}`;
  const laterEnv = Promise.resolve({ WORD: ' word' });
  const loaded = async () =>
    (await readdir(supervised.home))
      .flatMap((name) => /^loaded-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number);
  async function standbyOf({ ready, pid }: SupervisedChild): Promise<number> {
    await ready;
    await until(async () => (await loaded()).length === 2);
    return (await loaded()).find((each) => each !== pid()) ?? 0;
  }

  it('loads meanwhile, and starts when it is known', async () => {
    let send!: (env: NodeJS.ProcessEnv) => void;
    const { ready, pid } = await supervised.run(WAITS, {
      laterEnv: new Promise((done) => (send = done)),
    });
    await until(async () => (await loaded()).includes(pid() ?? 0));
    expect(existsSync(join(supervised.home, 'ready'))).toBe(false);
    send({ WORD: ' sent' });
    await ready;
    expect(await readFile(join(supervised.home, 'word'), 'utf8')).toBe('env-by-message sent');
  });

  it('has a standby with its code loaded, which takes over if it is killed', async () => {
    const first = await supervised.run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    expect(supervised.starts).toHaveLength(1);
    process.kill(first.pid() ?? 0, 'SIGKILL');
    await until(async () => supervised.seenReady === standby);
    expect(supervised.starts.at(-1)?.pid).toBe(standby);
    await until(async () => (await loaded()).length === 3); // the next standby has loaded
  });

  it('has its first standby when that is due', async () => {
    const begun = Date.now();
    const first = await supervised.run(WAITS, { laterEnv, standbyAfterMs: 1_000 });
    const standby = await standbyOf(first);
    const { mtimeMs } = await stat(join(supervised.home, `loaded-${standby}`));
    expect(mtimeMs - begun).toBeGreaterThan(1_000);
  });

  it('is started normally if its standby is also killed', async () => {
    const first = await supervised.run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    process.kill(standby, 'SIGKILL');
    expect(await waitForDeath(standby, 60_000)).toBe(true);
    const victim = first.pid() ?? 0;
    process.kill(victim, 'SIGKILL');
    // The supervisor may see the two deaths in either order; it then starts a new child.
    await until(
      async () => supervised.seenReady === first.pid() && supervised.seenReady !== victim,
    );
    expect(supervised.seenReady).not.toBe(standby);
  });

  // Without a program, Node reports the error later; with too large an environment, it throws.
  it.each(['ENOENT', 'E2BIG'])(
    'is started normally if no standby could be started: %s',
    async (code) => {
      const { requireNatively } = globalThis as unknown as { requireNatively: NodeJS.Require };
      const native = requireNatively('node:process') as typeof process; // Jest's own is a copy
      const { execPath } = native;
      const env: NodeJS.ProcessEnv = {};
      const first = await supervised.run(WAITS, {
        env,
        laterEnv,
        standbyAfterMs: 0,
        onStart: (pid) => {
          supervised.starts.push({ pid, at: performance.now() });
          if (code === 'ENOENT') native.execPath = join(supervised.home, 'no node');
          else env.TOO_LARGE = 'x'.repeat(1_000_000);
        },
      });
      try {
        await first.ready;
        await until(async () =>
          supervised.log.some((line) => line.includes(`standby ended with spawn`)),
        );
        expect(supervised.log.at(-1)).toContain(code);
      } finally {
        native.execPath = execPath;
        delete env.TOO_LARGE;
      }
      process.kill(first.pid() ?? 0, 'SIGKILL');
      await until(
        async () => supervised.starts.length === 2 && supervised.seenReady === first.pid(),
      );
      native.execPath = execPath;
    },
  );

  it('is stopped together with its standby', async () => {
    const first = await supervised.run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    await first.stop(60_000);
    expect(await waitForDeath(standby, 60_000)).toBe(true);
  });
});
