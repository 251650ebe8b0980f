import { GROUPS } from '../check/case.js';
import { curlOf } from './curl.js';
import { markupOf } from './markup.js';
import type { Report, ReportedCase } from './report.js';

/** An incomplete run must not look successful. */
function incompleteSuite({ stoppedBy }: Report): string[] {
  if (stoppedBy === undefined) return [];
  return [
    `  <testsuite name="run" tests="1" errors="1">
    <testcase classname="run" name="The run is complete">
      <error message="${markupOf(stoppedBy)}" />
    </testcase>
  </testsuite>`,
  ];
}

/** One suite for each group. Only a failed must is a failure, as in the exit code. With `strict`, all count. */
export function junitReport(report: Report, strict: boolean): string {
  const suites = GROUPS.map((group) => report.cases.filter((each) => each.group === group))
    .filter((cases) => cases.length > 0)
    .map((cases) => suiteOf(report, cases, strict));
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="${markupOf(report.name)}" time="${report.seconds}">
${[...suites, ...incompleteSuite(report)].join('\n')}
</testsuites>
`;
}

function suiteOf(report: Report, cases: ReportedCase[], strict: boolean): string {
  const lines = cases.map((each) => caseOf(report, each, strict));
  const count = (tag: string) => lines.filter((line) => line.includes(tag)).length;
  const group = cases[0]!.group;
  const time = cases.reduce((sum, { ms }) => sum + ms, 0) / 1000;
  return `  <testsuite name="${group}" tests="${cases.length}" failures="${count('<failure')}" skipped="${count('<skipped')}" time="${time}" timestamp="${report.startedAt}">
${lines.join('\n')}
  </testsuite>`;
}

function caseOf(report: Report, each: ReportedCase, strict: boolean): string {
  const { id, group, level, title, verdict, detail = '', ms } = each;
  const name = markupOf(`${id}: ${title}`);
  const open = `    <testcase classname="${group}" name="${name}" time="${ms / 1000}"`;
  if (verdict === 'pass') return `${open} />`;
  const broken = verdict === 'fail' || verdict === 'mismatch';
  const notRun = verdict === 'not-run' ? 'not run: ' : '';
  const message = markupOf(broken ? `${level}: ${detail}` : `${notRun}${detail}`);
  if (!broken || (level !== 'must' && !strict))
    return `${open}>\n      <skipped message="${message}" />\n    </testcase>`;
  return `${open}>
      <failure type="${level}" message="${message}">${markupOf(evidence(report, each))}</failure>
    </testcase>`;
}

function evidence({ url }: Report, { costs, source, exchanges = [] }: ReportedCase): string {
  const sent = exchanges.map(
    (each) => `${curlOf(url, each)}\n# ${each.answer?.status ?? each.error ?? 'no answer awaited'}`,
  );
  return [costs, `${source.name} ${source.url}`, ...sent].join('\n\n');
}
