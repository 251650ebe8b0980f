import { curlOf, variableOf } from './curl.js';
import { markupOf } from './markup.js';
import { STYLE } from './page.style.js';
import { conclusion, type Report, type ReportedCase } from './report.js';

type Exchange = NonNullable<ReportedCase['exchanges']>[number];

const HEADINGS: [heading: string, test: (each: ReportedCase) => boolean][] = [
  ['Failed: must', ({ verdict, level }) => verdict === 'fail' && level === 'must'],
  ['Broken promises', ({ verdict }) => verdict === 'mismatch'],
  ['Failed: should', ({ verdict, level }) => verdict === 'fail' && level === 'should'],
];

/** One page that loads nothing else, so it can be attached, and still be opened years later. */
export function pageReport(report: Report): string {
  const { name, url, startedAt, seconds, requests, peak, cases, stoppedBy } = report;
  const verdict = conclusion(report);
  const tone = verdict.startsWith('Every') ? 'good' : 'bad';
  const stop = stoppedBy ? `<p class="bad">The run is incomplete: ${markupOf(stoppedBy)}.</p>` : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${markupOf(name)}: idempotency conformance</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${markupOf(name)}</h1>
<p>Idempotent POST at <code>${markupOf(url)}</code>, ${startedAt}: ${cases.length} cases, ${requests} requests, ${peak} at one time at most, ${seconds} s.</p>
<p class="${tone}">${verdict}</p>${stop}
${variables(report)}
${HEADINGS.map(([heading, test]) => findings(report, heading, cases.filter(test))).join('\n')}
<h2>All cases</h2>
<table>
<thead><tr><th>verdict</th><th>level</th><th>case</th><th>what a correct API does</th><th>source</th></tr></thead>
<tbody>
${cases.map(row).join('\n')}
</tbody>
</table>
<h2>What the profile promises</h2>
<pre>${markupOf(JSON.stringify(report.promises, null, 2))}</pre>
</body>
</html>
`;
}

function findings(report: Report, heading: string, cases: ReportedCase[]): string {
  if (cases.length === 0) return '';
  return `<h2>${heading}</h2>\n${cases.map((each) => finding(report, each)).join('\n')}`;
}

function finding({ url }: Report, each: ReportedCase): string {
  const { id, title, detail = '', costs, source, exchanges = [], exchangesLeftOut = 0 } = each;
  const more = exchangesLeftOut > 0 ? `<p>${exchangesLeftOut} more requests.</p>` : '';
  return `<section id="${id}">
<h3><code>${id}</code> ${markupOf(title)}</h3>
<p class="bad">What happened: ${markupOf(detail)}.</p>
<p>What it costs: ${markupOf(costs)}</p>
<p>Source: <a href="${source.url}">${markupOf(source.name)}</a></p>
<details><summary>The requests, to try again</summary>
${exchanges.map((exchange) => evidence(url, exchange)).join('\n')}
${more}</details>
</section>`;
}

function evidence(url: string, exchange: Exchange): string {
  const { answer, error, note } = exchange;
  const how = note ? `<p>${markupOf(note)}</p>` : '';
  const head = answer?.headers.map(([name, value]) => `${name}: ${value}`).join('\n');
  const came = answer
    ? `${answer.status}\n${head}\n\n${answer.text}`
    : (error ?? 'The client did not wait for an answer.');
  return `${how}<pre>${markupOf(curlOf(url, exchange))}</pre><pre class="answer">${markupOf(came)}</pre>`;
}

/** Masked headers are variables in the commands. */
function variables({ cases }: Report): string {
  const names = new Set(
    cases
      .flatMap(({ exchanges = [] }) => exchanges.flatMap(({ headers }) => headers))
      .filter(([, value]) => value === '•••')
      .map(([name]) => variableOf(name)),
  );
  if (names.size === 0) return '';
  const list = [...names].map((name) => `<code>export ${name}=…</code>`).join(', ');
  return `<p>Credentials are left out. Set them before you run a command: ${list}.</p>`;
}

function row({ id, level, title, verdict, detail, source, exchanges }: ReportedCase): string {
  const name = exchanges ? `<a href="#${id}">${id}</a>` : id;
  const why = !exchanges && detail ? `<br><small>${markupOf(detail)}</small>` : '';
  const cite = `<a href="${source.url}">${markupOf(source.name)}</a>`;
  return `<tr class="${verdict}"><td>${verdict.replace('-', ' ')}</td><td>${level}</td><td>${name}</td><td>${markupOf(title)}${why}</td><td>${cite}</td></tr>`;
}
