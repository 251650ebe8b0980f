import { expect, test } from '@jest/globals';
import { LiveRun } from '../../../src/lab/program/live-run.js';
import type { SourceLines } from '../../../src/lab/program/source-lines.js';
import type { Run } from '../../../src/lab/run.js';

const SOURCE = { file: 'src/idempotency/records.ts', line: 1 };

test('what a reader of a stream has got does not change: a source line found later is an item of its own', () => {
  const answers: (() => void)[] = [];
  const sources: Pick<SourceLines, 'of'> = {
    of: (_frames, later) => void answers.push(() => later(SOURCE)),
  };
  const run: Run = {
    ...{ id: 'x', scenario: 'lost-request', title: 'A run', parameters: {} },
    ...{ startedAt: '2026-12-03T12:00:00Z', state: 'running' },
    ...{ events: [], knowledge: [], rows: [] },
  };
  const accounts = [{ track: 'keyed' as const, account: 'acct_1', apiKey: 'sk_test_lab' }];
  const live = new LiveRun(run, 'visitor', accounts, sources as SourceLines);
  const where = { at: Date.now(), writer: 'api' as const, pid: 1, account: 'acct_1' };
  live.take({ ...where, kind: 'statement', sql: 'SELECT 1', parameters: [], frames: ['frame'] });
  const before = JSON.stringify(live.stream);
  expect(live.stream).toHaveLength(1);
  for (const answer of answers) answer();
  expect(JSON.stringify(live.stream.slice(0, 1))).toBe(before);
  expect(live.stream[1]).toMatchObject({ type: 'detail', data: { detail: { source: SOURCE } } });
  expect(run.events[0]!.detail).toMatchObject({ source: SOURCE });
});
