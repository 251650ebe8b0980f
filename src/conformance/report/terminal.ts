import { GROUPS, type Case } from '../check/case.js';
import type { Result } from '../check/run.js';
import type { Limits } from '../profile/profile.js';
import { conclusion, type Report } from './report.js';

const WIDTH = { verdict: 9, level: 8, id: 38 };

export function startLines(name: string, url: string, cases: number, limits: Limits): string {
  const { maxRequests, maxConcurrency, requestsPerSecond } = limits;
  return `${name} at ${url}: ${cases} cases
At most ${maxRequests} requests, ${maxConcurrency} at one time, ${requestsPerSecond} a second on average; nothing but this host.
`;
}

/** One line for a case, printed as soon as it has run. */
export function progressLine(result: Result, done: number, all: number): string {
  const { verdict, detail } = result;
  const { id, level } = result.case;
  const shown = verdict.replace('-', ' ');
  const place = `${String(done).padStart(String(all).length)}/${all}`;
  const columns = [
    shown.padEnd(WIDTH.verdict),
    level.padEnd(WIDTH.level),
    id.padEnd(WIDTH.id),
  ].join('');
  return `${place}  ${columns}${detail ?? ''}`.trimEnd();
}

/** A table with the results of each group. */
export function summary(report: Report): string {
  const { cases, requests, peak, seconds, stoppedBy } = report;
  const rows = GROUPS.filter((group) => cases.some((each) => each.group === group)).map((group) => {
    const own = cases.filter((each) => each.group === group);
    const count = (test: (each: Report['cases'][number]) => boolean) => own.filter(test).length;
    return [
      group,
      count(({ verdict }) => verdict === 'pass'),
      count(({ verdict, level }) => verdict === 'fail' && level === 'must'),
      count(({ verdict, level }) => verdict === 'fail' && level === 'should'),
      count(({ verdict }) => verdict === 'mismatch'),
      count(({ verdict }) => verdict === 'skip'),
      count(({ verdict }) => verdict === 'not-run'),
    ];
  });
  const heads = [
    ...['group', 'pass', 'must failed', 'should failed', 'promise broken', 'skipped'],
    'not run',
  ];
  const totals = heads
    .slice(1)
    .map((_, i) => rows.reduce((sum, row) => sum + Number(row[i + 1]), 0));
  const table = [heads, ...rows, ['all', ...totals]].map((row) =>
    row.map((cell, i) => (i === 0 ? String(cell).padEnd(13) : String(cell).padStart(15))).join(''),
  );
  const stop = stoppedBy === undefined ? '' : ` The run is incomplete: ${stoppedBy}.`;
  return `\n${table.join('\n')}\n\n${conclusion(report)}${stop} ${requests} requests, ${peak} at one time at most, ${seconds} s.\n`;
}

export function listOf(cases: Case[]): string {
  const lines = cases.map(
    ({ id, level, title, source }) =>
      `${level.padEnd(WIDTH.level)}${id.padEnd(WIDTH.id)}${title} (${source.name})`,
  );
  return `${lines.join('\n')}\n${cases.length} cases\n`;
}
