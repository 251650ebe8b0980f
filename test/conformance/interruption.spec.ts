import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { built } from '../support/build.js';
import { SMALL, type Report } from './conformance.support.js';
import { RawServer } from './raw-server.js';

let folder: string;
let server: RawServer | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conformance-interrupted-'));
});
afterEach(async () => {
  await server?.stop();
  await rm(folder, { recursive: true });
});

interface Running {
  child: ChildProcess;
  output: Promise<string>;
  ended: Promise<unknown[]>;
}

/** Starts the check. Resolves when the API has answered that many requests and the next one hangs. */
async function hanging(answered: number, reports: string[]): Promise<Running> {
  let asked = 0;
  const { promise: hangs, resolve } = signalled();
  server = await RawServer.start((socket, status, body) => {
    asked += 1;
    if (asked > answered) resolve();
    else socket.write(`HTTP/1.1 ${status} OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  const profile = join(folder, 'profile.json');
  await writeFile(profile, JSON.stringify({ ...SMALL, accounts: SMALL.accounts.slice(0, 1) }));
  const args = ['--profile', profile, '--url', server.url, '--only', 'replay', ...reports];
  const child = spawn(process.execPath, [built('src/conformance/main.js'), ...args]);
  const output = text(child.stdout);
  const ended = once(child, 'exit');
  await hangs;
  return { child, output, ended };
}

function signalled(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => undefined as void;
  return { promise: new Promise<void>((done) => (resolve = done)), resolve: () => resolve() };
}

const FILES = { json: 'report.json', junit: 'report.xml', html: 'report.html', markdown: 'r.md' };

async function readReports() {
  const [json, xml, page, markdown] = await Promise.all(
    Object.values(FILES).map((name) => readFile(join(folder, name), 'utf8')),
  );
  return { report: JSON.parse(json!) as Report, xml, page, markdown };
}

const allReports = () =>
  Object.entries(FILES).flatMap(([kind, name]) => [`--${kind}`, join(folder, name)]);

describe('a check that is interrupted', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s writes its reports and ends with %d', async (signal, exitCode) => {
    // Two requests of the control, and two of the first case.
    const { child, output, ended } = await hanging(4, allReports());
    const start = performance.now();
    child.kill(signal);
    child.kill(signal); // twice: from the terminal, and forwarded by npm
    expect(await ended).toEqual([exitCode, null]);
    expect(performance.now() - start).toBeLessThan(5000); // the request may take 20 s

    const { report, xml, page, markdown } = await readReports();
    const verdicts = report.cases.map(({ verdict }) => verdict);
    expect(verdicts.slice(0, 2)).toEqual(['pass', 'not-run']);
    expect(new Set(verdicts.slice(1))).toEqual(new Set(['not-run']));
    expect(report.cases[1]?.detail).toBe(`interrupted by ${signal} while the case ran`);
    expect(report.cases.at(-1)?.detail).toBe(`interrupted by ${signal}`);
    for (const words of [await output, page, markdown])
      expect(words).toContain(`The run is incomplete: interrupted by ${signal}.`);
    expect(await output).toMatch(/not run\nreplay +1 +0 +0 +0 +0 +\d\d\n/);
    expect(page).toContain('<td>not run</td>');
    expect(xml).toContain(`<error message="interrupted by ${signal}" />`);
    expect(xml).toContain(`<skipped message="not run: interrupted by ${signal}" />`);
  });

  it('before its first case says that nothing ran', async () => {
    const { child, output, ended } = await hanging(0, allReports());
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(await output).toContain('No must ran. The run is incomplete: interrupted by SIGINT.');
    const { report, page } = await readReports();
    expect(new Set(report.cases.map(({ verdict }) => verdict))).toEqual(new Set(['not-run']));
    expect(page).toContain('<p class="bad">No must ran.</p>');
  });

  it('a second time ends immediately', async () => {
    const pipe = join(folder, 'pipe'); // a report that cannot be written until it has a reader
    await promisify(execFile)('mkfifo', [pipe]);
    const reader = spawn('cat', [pipe]);
    const { child, ended } = await hanging(0, ['--html', pipe]);
    if (reader.exitCode === null) await once(reader, 'exit');
    child.kill('SIGINT');
    const again = setInterval(() => child.kill('SIGINT'), 100);
    expect(await ended).toEqual([null, 'SIGINT']); // a shell shows 130
    clearInterval(again);
  });
});
