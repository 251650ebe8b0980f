import type { Violation } from '../checker/violation.js';

/** The diagram of a violation. */
export interface Drawing {
  /** The run that the lab opens, relative to the folder of the report. */
  file: string;
  /** Only for the first violations of each rule. */
  svg?: string;
}

/** One for each violation, in the same order. */
type Drawings = readonly Drawing[];

export const WIDTH = 900;

export const STYLE = `body { font: 15px/1.5 system-ui, sans-serif; max-width: ${WIDTH}px; margin: 2em auto; padding: 0 1em; color: #222 }
td { padding: 0 1em 0 0; vertical-align: top } td:first-child { text-align: right }
svg { width: 100%; height: auto; background: #f7f7f7 } svg text { font-size: 11px }
pre { background: #f7f7f7; padding: 1em; overflow: auto; max-height: 24em; font-size: 12px }
figure { position: relative; left: 50%; width: max-content; max-width: 96vw; margin: 1em 0; transform: translateX(-50%); overflow-x: auto }
.good { color: #17692b } .bad { color: #a01818 }`;

/** Only the violations, when there is no report: for journals that are judged again, and planted bugs. */
export function violationsPage(violations: readonly Violation[], drawings: Drawings): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>charge-once: violations</title>
<style>
${STYLE}
</style>
<h1>Violations: ${violations.length}</h1>
${violationsHtml(violations, drawings)}
</html>
`;
}

export function violationsHtml(violations: readonly Violation[], drawings: Drawings): string {
  if (violations.length === 0) return '<p>None.';
  return violations.map((each, i) => violationHtml(each, drawings[i])).join('\n');
}

function violationHtml({ rule, says, witness }: Violation, drawing?: Drawing): string {
  const picture = drawing?.svg === undefined ? '' : pictureOf(drawing.svg);
  const events = witness && `<pre>${escape(witness)}</pre>`;
  const open = drawing && `<p>In the lab: <code>npm run lab -- open …/${drawing.file}</code>`;
  return `<h3>${escape(rule)}</h3><p>${escape(says)}${picture}${events}${open ?? ''}`;
}

/** In an image, the styles do not affect the page, and no script can run. The events below the image are its text. */
function pictureOf(svg: string): string {
  const data = Buffer.from(svg).toString('base64');
  return `<figure><img src="data:image/svg+xml;base64,${data}" alt="Sequence diagram of the events below"></figure>`;
}

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
