import { execFile, spawn } from 'node:child_process';
import { on, once } from 'node:events';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

/** A program that keeps another one running, built by our build/ with our settings. */
const MAIN = `
import { fileURLToPath } from 'node:url';
import { supervise } from '../local/supervisor.js';
supervise({
  name: 'child',
  script: fileURLToPath(new URL('worker.js', import.meta.url)),
  env: process.env,
  isReady: async () => true,
  log: () => undefined,
});`;
const child = (version: number) => `
console.log(\`version ${version} \${process.pid}\`);
if (process.connected) setInterval(() => undefined, 1_000);`;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'charge-once-build-'));
  for (const folder of ['src/programs', 'src/local', 'migrations', 'build'])
    await mkdir(join(home, folder), { recursive: true });
  for (const file of [
    'build/build.mjs',
    'build/compile.mjs',
    'build/page.mjs',
    'package.json',
    'package-lock.json',
  ])
    await cp(file, join(home, file));
  for (const file of ['tsconfig.json', 'src/local/supervisor.ts']) await cp(file, join(home, file));
  await writeFile(join(home, 'src/config.ts'), 'export const EXIT_CONFIGURATION = 78;');
  await symlink(resolve('node_modules'), join(home, 'node_modules'));
  await writeFile(join(home, 'src/programs/api.ts'), MAIN);
  await edit(child(1));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const edit = (text: string) => writeFile(join(home, 'src/programs/worker.ts'), text);
const target = () => realpath(join(home, 'dist'));
const builds = async () =>
  (await readdir(join(home, '.build'))).filter((name) => /^[0-9a-f]+$/.test(name));

function run(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((done) => {
    execFile(process.execPath, args, { cwd: home }, (error, stdout, stderr) =>
      done({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

async function build(): Promise<void> {
  expect(await run('build/build.mjs')).toEqual({ code: 0, output: '' });
}

describe('npm run build', () => {
  it('lets a running program restart its children from the build that it was started from', async () => {
    await build();
    const program = spawn(process.execPath, ['dist/src/programs/api.js'], {
      cwd: home,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(program, 'exit');
    const lines = on(createInterface(program.stdout), 'line');
    const next = async () => String((await lines.next()).value).split(' ');
    try {
      const [, version, pid] = await next();
      expect(version).toBe('1');
      await edit(child(2));
      await build();
      process.kill(Number(pid), 'SIGKILL');
      expect((await next())[1]).toBe('1');
      expect((await run('dist/src/programs/worker.js')).output).toMatch(/^version 2 /);
    } finally {
      program.kill('SIGKILL');
      await exit;
    }
  });

  it('does not build unchanged sources again', async () => {
    const before = await target();
    const { ctimeMs } = await stat(join(before, 'src/programs/worker.js'));
    await build();
    expect(await target()).toBe(before);
    expect((await stat(join(before, 'src/programs/worker.js'))).ctimeMs).toBe(ctimeMs);
  });

  it('keeps the earlier build if the compiler finds an error', async () => {
    const before = await target();
    await edit('export const wrong = ;');
    expect(await run('build/build.mjs')).toEqual({
      code: 2,
      output: expect.stringMatching(/^src\/programs\/worker\.ts\(1,22\): error TS1109/),
    });
    expect(await target()).toBe(before);
  });

  it('twice in parallel makes one build', async () => {
    await edit(child(3));
    await Promise.all([build(), build()]);
    expect(await builds()).toHaveLength(3);
    expect((await run('dist/src/programs/worker.js')).output).toMatch(/^version 3 /);
  });

  it('replaces a folder that another tool has built', async () => {
    const before = await target();
    await rm(join(home, 'dist'));
    await mkdir(join(home, 'dist/src'), { recursive: true });
    await build();
    expect(await target()).toBe(before);
  });

  it('removes what no process has used for an hour', async () => {
    const present = basename(await target());
    const [used = '', unused = ''] = (await builds()).filter((name) => name !== present);
    await writeFile(join(home, '.build', used, 'in-use', String(process.pid)), '');
    // Neither ours nor complete, such as a file of an editor or a partly restored cache.
    await writeFile(join(home, '.build/.DS_Store'), '');
    await mkdir(join(home, '.build/0123456789abcdef'));
    await rm(join(home, '.build/cache'), { recursive: true });
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    for (const name of [used, unused]) await utimes(join(home, '.build', name), longAgo, longAgo);
    await build();
    expect((await builds()).sort()).toEqual([present, used, '0123456789abcdef'].sort());
  });
});
