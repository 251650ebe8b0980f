import { ALL_CASES } from '../cases/all-cases.js';
import type { Level } from '../check/case.js';
import type { Report, ReportedCase } from './report.js';

const MARKS = {
  pass: 'yes',
  fail: '**no**',
  mismatch: '**no**',
  skip: '–',
  'not-run': '–',
} as const;
const LEVELS: [Level, string][] = [
  ['must', 'failed must'],
  ['should', 'failed should'],
  ['choice', 'broken promise'],
];

/** One report, or several side by side. Nothing in it depends on the speed of the machine. */
export function markdownReport(reports: Report[]): string {
  return [totals(reports), failedCases(reports), ...reports.map(findings)].join('\n\n') + '\n';
}

function totals(reports: Report[]): string {
  const rows = reports.map((report) => {
    const failed = LEVELS.map(([level]) => broken(report).filter((each) => each.level === level));
    const { pass, skip, 'not-run': notRun } = report.totals;
    return [report.name, pass, ...failed.map((each) => each.length), skip + notRun];
  });
  return table(['API', 'pass', ...LEVELS.map(([, name]) => name), 'skipped'], rows);
}

/** The cases that fail in at least one report. A skipped case does not count as a failure. */
function failedCases(reports: Report[]): string {
  const verdictIn = ({ cases }: Report, id: string) =>
    cases.find((each) => each.id === id)?.verdict;
  const rows = ALL_CASES.filter(({ id }) =>
    reports.some((report) => ['fail', 'mismatch'].includes(verdictIn(report, id) ?? '')),
  ).map(({ id, level, title }) => [
    `\`${id}\``,
    level,
    title,
    ...reports.map((report) => MARKS[verdictIn(report, id) ?? 'skip']),
  ]);
  if (rows.length === 0) return 'No case fails.';
  const numbers = reports.map((_, i) => `${i + 1}`);
  const legend = reports.map(({ name }, i) => `${i + 1}: ${name}`).join('; ');
  const columns = reports.length === 1 ? ['holds'] : numbers;
  const intro = reports.length === 1 ? '' : `${legend}. –: skipped.\n\n`;
  return intro + table(['case', 'level', 'what a correct API does', ...columns], rows);
}

function findings(report: Report): string {
  const lines = broken(report).map(
    ({ id, level, detail, costs, source }) =>
      `- \`${id}\` (${level}, [${source.name}](${source.url})): ${textOf(detail ?? '')}. ${costs}`,
  );
  const none = 'Every case that ran passes.';
  const { stoppedBy } = report;
  const stop = stoppedBy === undefined ? '' : `The run is incomplete: ${textOf(stoppedBy)}.\n\n`;
  return `## ${report.name}\n\n${stop}${lines.length === 0 ? none : lines.join('\n')}`;
}

function broken({ cases }: Report): ReportedCase[] {
  return cases.filter(({ verdict }) => verdict === 'fail' || verdict === 'mismatch');
}

function table(heads: unknown[], rows: unknown[][]): string {
  const line = (cells: unknown[]) => `| ${cells.map((each) => textOf(String(each))).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Leaves out UUIDs: ids and keys are new in each run, and reports may be kept in a repository. */
function textOf(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '…')
    .replaceAll('|', '\\|')
    .replaceAll(/\s+/g, ' ');
}
