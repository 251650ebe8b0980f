import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ChildOptions,
  ChildRefusesConfiguration,
  ChildStopped,
  type SupervisedChild,
  supervise,
} from '../../../src/local/supervisor.js';
import { isAlive, signal, waitForDeath } from '../../../src/local/processes.js';
import { builtModule } from '../../support/build.js';
import { until } from '../../support/until.js';

let home: string;
let child: SupervisedChild | undefined;
let starts: { pid: number; at: number }[];
let log: string[];
let seenReady: number | undefined;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'charge-once-supervisor-'));
  child = undefined;
  starts = [];
  log = [];
});

afterEach(async () => {
  await child?.stop(0);
  await rm(home, { recursive: true, force: true });
});

/** Each start of the child runs `body`. The child is ready once it has called `ready()`. */
async function run(body: string, more: Partial<ChildOptions> = {}): Promise<SupervisedChild> {
  const script = join(home, 'child.mjs');
  await writeFile(
    script,
    `import { writeFileSync, existsSync } from 'node:fs';
     const home = ${JSON.stringify(home)};
     const ready = () => writeFileSync(home + '/ready', String(process.pid));
     ${body}`,
  );
  return (child = supervise({
    name: 'child',
    script,
    env: {},
    isReady: async () => {
      const pid = Number(await readFile(join(home, 'ready'), 'utf8'));
      if (pid !== starts.at(-1)?.pid) return false;
      seenReady = pid;
      return true;
    },
    onStart: (pid) => starts.push({ pid, at: performance.now() }),
    log: (line) => log.push(line),
    ...more,
  }));
}

const RUN_ON = 'setInterval(() => undefined, 1000);';

describe('the supervisor', () => {
  it('restarts a killed child at once, however often it is killed', async () => {
    const { ready, pid } = await run(`ready(); ${RUN_ON}`);
    await ready;
    for (let kills = 1; kills <= 5; kills++) {
      const victim = pid() ?? 0;
      await until(async () => seenReady === victim);
      process.kill(victim, 'SIGKILL');
      await until(async () => starts.length === kills + 1);
      expect(log.at(-1)).toBe(`child (pid ${victim}) ended with SIGKILL; starting it again`);
    }
  });

  it('backs off from a child that dies before it is ready, and resets that once it is ready', async () => {
    const { ready, pid } = await run(`
      import { appendFileSync, readFileSync } from 'node:fs';
      appendFileSync(home + '/starts', 'x');
      if (readFileSync(home + '/starts').length <= 3) process.exit(1);
      ready(); ${RUN_ON}`);
    await ready;
    expect(starts).toHaveLength(4);
    const gaps = starts.slice(1).map(({ at }, i) => at - (starts[i]?.at ?? 0));
    for (const [i, leastMs] of [100, 200, 400].entries()) {
      expect(gaps[i]).toBeGreaterThanOrEqual(leastMs);
      expect(log[i]).toMatch(
        new RegExp(`ended with code 1; starting it again in ${leastMs / 1000} s$`),
      );
    }
    process.kill(pid() ?? 0, 'SIGKILL');
    await until(async () => starts.length === 5);
    expect(log.at(-1)).toMatch(/ended with SIGKILL; starting it again$/);
  });

  it('stops if a child refuses its configuration at the first start', async () => {
    const { ready } = await run('process.exit(78);');
    await expect(ready).rejects.toBeInstanceOf(ChildRefusesConfiguration);
    expect(starts).toHaveLength(1);
  });

  it('keeps trying if the child refuses it after it has been ready', async () => {
    const { ready, pid } = await run(`
      if (existsSync(home + '/ready')) process.exit(78);
      ready(); ${RUN_ON}`);
    await ready;
    process.kill(pid() ?? 0, 'SIGKILL');
    await until(async () => starts.length >= 3);
    expect(log.at(-1)).toContain('ended with code 78; starting it again');
  });

  it('lets a child finish its work, and then starts none', async () => {
    const { ready, pid, stop } = await run(`
      process.on('SIGTERM', () => setTimeout(() => {
        writeFileSync(home + '/drained', '');
        process.exit(0);
      }, 300));
      ready(); ${RUN_ON}`);
    await ready;
    const last = pid() ?? 0;
    await stop(60_000);
    expect(existsSync(join(home, 'drained'))).toBe(true);
    expect(await isAlive(last)).toBe(false);
    expect(starts).toHaveLength(1);
    expect(pid()).toBeUndefined();
  });

  it('kills a child that does not stop in time', async () => {
    const { ready, pid, stop } = await run(
      `process.on('SIGTERM', () => undefined); ready(); ${RUN_ON}`,
    );
    await ready;
    const last = pid() ?? 0;
    await stop(200);
    expect(await isAlive(last)).toBe(false);
    expect(log).toEqual(['child did not stop within 0.2 s and is killed']);
  });

  it('a killed supervisor ends its child, even one that still loads', async () => {
    const [childScript, supervisorScript] = [join(home, 'child.mjs'), join(home, 'supervisor.mjs')];
    await writeFile(childScript, 'await new Promise(() => setInterval(() => undefined, 1000));');
    await writeFile(
      supervisorScript,
      `import { supervise } from ${JSON.stringify(builtModule('src/local/supervisor.js'))};
       supervise({
         name: 'child', script: ${JSON.stringify(childScript)}, env: {},
         isReady: async () => false, onStart: (pid) => console.log(pid), log: console.log,
       });`,
    );
    const supervisor = spawn(process.execPath, [supervisorScript], { stdio: 'pipe' });
    const [line] = (await once(supervisor.stdout, 'data')) as [Buffer];
    const orphan = Number(line);
    try {
      expect(await isAlive(orphan)).toBe(true);
      supervisor.kill('SIGKILL');
      expect(await waitForDeath(orphan, 60_000)).toBe(true);
    } finally {
      signal(orphan, 'SIGKILL');
    }
  });

  it('can be stopped while it backs off', async () => {
    const { ready, stop } = await run('process.exit(1);');
    await until(async () => starts.length >= 3);
    await stop(60_000);
    await expect(ready).rejects.toBeInstanceOf(ChildStopped);
  });
});

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
    (await readdir(home)).flatMap((name) => /^loaded-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  async function standbyOf({ ready, pid }: SupervisedChild): Promise<number> {
    await ready;
    await until(async () => (await loaded()).length === 2);
    return (await loaded()).find((each) => each !== pid()) ?? 0;
  }

  it('loads meanwhile, and starts when it is known', async () => {
    let send!: (env: NodeJS.ProcessEnv) => void;
    const { ready, pid } = await run(WAITS, { laterEnv: new Promise((done) => (send = done)) });
    await until(async () => (await loaded()).includes(pid() ?? 0));
    expect(existsSync(join(home, 'ready'))).toBe(false);
    send({ WORD: ' sent' });
    await ready;
    expect(await readFile(join(home, 'word'), 'utf8')).toBe('env-by-message sent');
  });

  it('has a standby with its code loaded, which takes over if it is killed', async () => {
    const first = await run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    expect(starts).toHaveLength(1);
    process.kill(first.pid() ?? 0, 'SIGKILL');
    await until(async () => seenReady === standby);
    expect(starts.at(-1)?.pid).toBe(standby);
    await until(async () => (await loaded()).length === 3); // and so on
  });

  it('has its first standby when that is due', async () => {
    const begun = Date.now();
    const first = await run(WAITS, { laterEnv, standbyAfterMs: 1_000 });
    const standby = await standbyOf(first);
    const { mtimeMs } = await stat(join(home, `loaded-${standby}`));
    expect(mtimeMs - begun).toBeGreaterThan(1_000);
  });

  it('is started normally if its standby is killed, too', async () => {
    const first = await run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    process.kill(standby, 'SIGKILL');
    expect(await waitForDeath(standby, 60_000)).toBe(true);
    const victim = first.pid() ?? 0;
    process.kill(victim, 'SIGKILL');
    // The supervisor may see the two deaths in either order; it then starts a new child.
    await until(async () => seenReady === first.pid() && seenReady !== victim);
    expect(seenReady).not.toBe(standby);
  });

  // Without a program, Node reports the error later; with too large an environment, it throws.
  it.each(['ENOENT', 'E2BIG'])(
    'is started normally if no standby could be started: %s',
    async (code) => {
      const { requireNatively } = globalThis as unknown as { requireNatively: NodeJS.Require };
      const native = requireNatively('node:process') as typeof process; // Jest's own is a copy
      const { execPath } = native;
      const env: NodeJS.ProcessEnv = {};
      const first = await run(WAITS, {
        env,
        laterEnv,
        standbyAfterMs: 0,
        onStart: (pid) => {
          starts.push({ pid, at: performance.now() });
          if (code === 'ENOENT') native.execPath = join(home, 'no node');
          else env.TOO_LARGE = 'x'.repeat(1_000_000);
        },
      });
      try {
        await first.ready;
        await until(async () => log.some((line) => line.includes(`standby ended with spawn`)));
        expect(log.at(-1)).toContain(code);
      } finally {
        native.execPath = execPath;
        delete env.TOO_LARGE;
      }
      process.kill(first.pid() ?? 0, 'SIGKILL');
      await until(async () => starts.length === 2 && seenReady === first.pid());
      native.execPath = execPath;
    },
  );

  it('a stopped child’s standby is stopped, too', async () => {
    const first = await run(WAITS, { laterEnv, standbyAfterMs: 0 });
    const standby = await standbyOf(first);
    await first.stop(60_000);
    expect(await waitForDeath(standby, 60_000)).toBe(true);
  });
});
