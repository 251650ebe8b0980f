import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChildRefusesConfiguration, ChildStopped } from '../../../src/local/supervisor.js';
import { isAlive, signal, waitForDeath } from '../../../src/local/processes.js';
import { builtModule } from '../../support/build.js';
import { until } from '../../support/until.js';
import { RUN_ON, Supervision } from './supervisor.support.js';

const supervised = new Supervision();
beforeEach(() => supervised.begin());
afterEach(() => supervised.end());

describe('the supervisor', () => {
  it('restarts a killed child immediately, however often it is killed', async () => {
    const { ready, pid } = await supervised.run(`ready(); ${RUN_ON}`);
    await ready;
    for (let kills = 1; kills <= 5; kills++) {
      const victim = pid() ?? 0;
      await until(async () => supervised.seenReady === victim);
      process.kill(victim, 'SIGKILL');
      await until(async () => supervised.starts.length === kills + 1);
      expect(supervised.log.at(-1)).toBe(
        `child (pid ${victim}) ended with SIGKILL; starting it again`,
      );
    }
  });

  it('backs off from a child that dies before it is ready, and resets that once it is ready', async () => {
    const { ready, pid } = await supervised.run(`
      import { appendFileSync, readFileSync } from 'node:fs';
      appendFileSync(home + '/starts', 'x');
      if (readFileSync(home + '/starts').length <= 3) process.exit(1);
      ready(); ${RUN_ON}`);
    await ready;
    expect(supervised.starts).toHaveLength(4);
    const gaps = supervised.starts
      .slice(1)
      .map(({ at }, i) => at - (supervised.starts[i]?.at ?? 0));
    for (const [i, leastMs] of [100, 200, 400].entries()) {
      expect(gaps[i]).toBeGreaterThanOrEqual(leastMs);
      expect(supervised.log[i]).toMatch(
        new RegExp(`ended with code 1; starting it again in ${leastMs / 1000} s$`),
      );
    }
    process.kill(pid() ?? 0, 'SIGKILL');
    await until(async () => supervised.starts.length === 5);
    expect(supervised.log.at(-1)).toMatch(/ended with SIGKILL; starting it again$/);
  });

  it('stops if a child refuses its configuration at the first start', async () => {
    const { ready } = await supervised.run('process.exit(78);');
    await expect(ready).rejects.toBeInstanceOf(ChildRefusesConfiguration);
    expect(supervised.starts).toHaveLength(1);
  });

  it('keeps trying if the child refuses it after it has been ready', async () => {
    const { ready, pid } = await supervised.run(`
      if (existsSync(home + '/ready')) process.exit(78);
      ready(); ${RUN_ON}`);
    await ready;
    process.kill(pid() ?? 0, 'SIGKILL');
    await until(async () => supervised.starts.length >= 3);
    expect(supervised.log.at(-1)).toContain('ended with code 78; starting it again');
  });

  it('lets a child finish its work, and then starts none', async () => {
    const { ready, pid, stop } = await supervised.run(`
      process.on('SIGTERM', () => setTimeout(() => {
        writeFileSync(home + '/drained', '');
        process.exit(0);
      }, 300));
      ready(); ${RUN_ON}`);
    await ready;
    const last = pid() ?? 0;
    await stop(60_000);
    expect(existsSync(join(supervised.home, 'drained'))).toBe(true);
    expect(await isAlive(last)).toBe(false);
    expect(supervised.starts).toHaveLength(1);
    expect(pid()).toBeUndefined();
  });

  it('kills a child that does not stop in time', async () => {
    const { ready, pid, stop } = await supervised.run(
      `process.on('SIGTERM', () => undefined); ready(); ${RUN_ON}`,
    );
    await ready;
    const last = pid() ?? 0;
    await stop(200);
    expect(await isAlive(last)).toBe(false);
    expect(supervised.log).toEqual(['child did not stop within 0.2 s and is killed']);
  });

  it('leaves no child behind when it is killed, not even one that still loads', async () => {
    const [childScript, supervisorScript] = [
      join(supervised.home, 'child.mjs'),
      join(supervised.home, 'supervisor.mjs'),
    ];
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
    const { ready, stop } = await supervised.run('process.exit(1);');
    await until(async () => supervised.starts.length >= 3);
    await stop(60_000);
    await expect(ready).rejects.toBeInstanceOf(ChildStopped);
  });
});
