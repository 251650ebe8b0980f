import type { Report } from './report.js';
import { escape, STYLE, violationsHtml, WIDTH, type Drawing } from './violations-html.js';

const ROW = 16;
/** The number of marks that fit on the time axis. */
const MAX_MARKS = 12;

/** One HTML page without scripts and external links. */
export function reportPage(report: Report, drawings: readonly Drawing[]): string {
  const { seed, minutes, verdict, counts, recovery, upperBound, cells, missed, violations } =
    report;
  const rows = Object.entries(counts).map(([name, count]) => `<tr><td>${count}<td>${name}`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>charge-once: proof, seed ${seed}</title>
<style>
${STYLE}
</style>
<h1>Proof, seed ${seed}</h1>
<p class="${verdict === 'no violation' ? 'good' : 'bad'}"><strong>${verdict}</strong> in ${minutes} minutes of faults.
<p>A paid key that a fault touches is charged twice with a probability below
<strong>${(upperBound * 100).toFixed(3)} %</strong> (95 % confidence, ${counts['paid keys that a fault touched']} keys, none charged twice; it takes them as independent).
<h2>Totals</h2>
<table>${rows.join('\n')}</table>
<h2>Faults over time</h2>
${faultPlot(report)}
<h2>Recovery</h2>
<p>From the end of the last fault that overlapped a key to its completion: median ${recovery.p50} ms, 99th percentile
${recovery.p99} ms (limit ${recovery.limit} ms), longest ${recovery.max} ms. From reserve to outcome, faults included: median
${report.unfinished.p50} ms, 99th percentile ${report.unfinished.p99} ms, longest ${report.unfinished.max} ms.
${recoveryPlot(recovery.all, recovery.limit)}
<h2>Cells</h2>
<p>${cells.length - missed.length} of ${cells.length} were hit. A run that misses one is invalid.
<table>${cells.map(([name, hits]) => `<tr class="${hits > 0 ? '' : 'bad'}"><td>${hits}<td>${escape(name)}`).join('\n')}</table>
<h2>Violations</h2>
${violationsHtml(violations, drawings)}
</html>
`;
}

/** A row for each point, a bar for each fault, and the minutes below. */
function faultPlot({ faults, seconds }: Report): string {
  const points = [...new Set(faults.map(({ point }) => point))].sort();
  const left = 190;
  const bottom = points.length * ROW + 4;
  const x = (ms: number) => left + (ms / 1000 / seconds) * (WIDTH - left - 20);
  const labels = points.map(
    (name, i) => `<text x="2" y="${(i + 1) * ROW - 4}">${escape(name)}</text>`,
  );
  const bars = faults.map(({ point, action, from, to }) => {
    const width = Math.max(1, x(Math.min(to, seconds * 1000)) - x(from));
    const y = points.indexOf(point) * ROW + 2;
    return `<rect x="${x(from).toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 4}" fill="#b4532a"><title>${escape(action)}, ${Math.round(from)} to ${Math.round(to)} ms</title></rect>`;
  });
  const step = Math.max(1, Math.ceil(seconds / 60 / MAX_MARKS));
  const marks = Array.from({ length: Math.floor(seconds / 60 / step) + 1 }, (_, i) => {
    const at = x(i * step * 60_000).toFixed(1);
    return `<line x1="${at}" x2="${at}" y1="0" y2="${bottom}" stroke="#ccc"/><text x="${at}" y="${bottom + 11}" text-anchor="middle">${i * step} min</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${bottom + 16}" role="img">${marks.join('')}${labels.join('')}${bars.join('')}</svg>`;
}

/** All recoveries in order, on a scale up to the limit or the longest. */
function recoveryPlot(all: number[], limit: number): string {
  const height = 160;
  const sorted = [...all].sort((a, b) => a - b);
  const top = Math.max(limit, sorted.at(-1) ?? 0) * 1.15; // the limit's label is above its line
  const y = (ms: number) => height - (ms / top) * height;
  const line = sorted.map(
    (ms, i) => `${((i / sorted.length) * WIDTH).toFixed(1)},${y(ms).toFixed(1)}`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img"><polyline points="${line.join(' ')}" fill="none" stroke="#2a5db4" stroke-width="2"/><line x1="0" x2="${WIDTH}" y1="${y(limit)}" y2="${y(limit)}" stroke="#a01818"/><text x="2" y="${y(limit) - 4}">limit: ${limit} ms</text></svg>`;
}
