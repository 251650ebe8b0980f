import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { signal, untilGone } from '../../../src/local/processes.js';
import { until } from '../../support/until.js';

const left: (() => void)[] = [];
afterEach(() => left.splice(0).forEach((end) => end()));

describe('a process that is not our child counts as gone', () => {
  test('when it has ended', async () => {
    const { pid } = await grandchild('sleep 600 & echo $!; wait');
    let gone = false;
    const end = untilGone(pid).then(() => (gone = true));
    await new Promise(setImmediate);
    expect(gone).toBe(false);
    signal(pid, 'SIGKILL');
    await end;
  });

  test('when it is a zombie: it has ended, and its parent does not ask how', async () => {
    const { pid, shell } = await grandchild('sleep 600 & echo $!; exec sleep 600');
    // A shell would reap it; `sleep` does not.
    await until(async () => (await readFile(`/proc/${shell.pid}/comm`, 'utf8')) === 'sleep\n');
    signal(pid, 'SIGKILL');
    await untilGone(pid);
    expect(process.kill(pid, 0)).toBe(true); // it keeps its number
  });
});

/** What a shell starts in the background. */
async function grandchild(script: string): Promise<{ pid: number; shell: ChildProcess }> {
  const shell = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [output] = (await once(shell.stdout, 'data')) as [Buffer];
  const pid = Number(output.toString());
  left.push(() => {
    shell.kill('SIGKILL');
    signal(pid, 'SIGKILL');
  });
  return { pid, shell };
}
