import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { built } from '../support/build.js';

// A short `npm run proof` with a fixed seed. The long ones are run by hand: docs/proof.md.

let folder: string;
let code: number;
let output: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'charge-once-proof-'));
  await chmod(folder, 0o755); // under root, PostgreSQL runs as another user
  ({ code, output } = await proof('--seed', '1', '--minutes', '0.3', '--out', folder));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('a campaign hits every cell of its plan and finds no violation', async () => {
  expect({ code, output }).toMatchObject({ code: 0 }); // the output has the witness
  const report = JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'));
  expect(report).toMatchObject({ verdict: 'no violation', missed: [], violations: [] });
  expect(report.counts.payments).toBeGreaterThan(0);
  expect(report.counts['unknown outcomes']).toBeGreaterThan(0);
});

test('its report is one page without links to elsewhere', async () => {
  const page = await readFile(join(folder, 'report.html'), 'utf8');
  expect(page).toContain('no violation');
  expect(page).not.toMatch(/(src|href)=/);
});

test('its journals can be judged again', async () => {
  const again = await proof('--check', folder);
  expect(again).toEqual({ code: 0, output: expect.stringContaining('0 violations') });
});

function proof(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const program = ['--enable-source-maps', built('src/programs/proof.js'), ...args];
    execFile(process.execPath, program, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    );
  });
}
