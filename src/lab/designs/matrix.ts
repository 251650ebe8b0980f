import type { Cell, Run } from '../run.js';
import { Experiment } from './experiment.js';
import { FAULTS, type Fault } from './faults.js';
import { DESIGNS } from './gallery.js';
import { Hosts } from './hosts.js';

export interface MatrixOptions {
  /** A PostgreSQL server, by any database of it. The role must be allowed to create databases. */
  databaseUrl: string;
  onCell?: (cell: Cell) => void;
  /** What happened in a cell, for the diagram. */
  onRun?: (run: Run) => void;
  signal?: AbortSignal;
}

/** More at once would take more connections than PostgreSQL gives by default (100). */
const SLOW_AT_ONCE = 3;

/** Does every fault to every design, on real processes. @returns the cells, design by design. */
export async function runMatrix(options: MatrixOptions): Promise<Cell[]> {
  const hosts = await Hosts.start(options.databaseUrl, DESIGNS.length);
  const stop = () => void hosts.stop();
  options.signal?.addEventListener('abort', stop);
  try {
    const fast = FAULTS.filter(({ id }) => id !== 'slow-processor');
    const pairs = fast.flatMap((fault) => DESIGNS.map(({ id }) => ({ design: id, fault })));
    const cells = await Promise.all(pairs.map((pair) => runCell(pair, hosts, options)));
    const slow = FAULTS.filter(({ id }) => id === 'slow-processor');
    for (let i = 0; i < DESIGNS.length; i += SLOW_AT_ONCE) {
      const designs = DESIGNS.slice(i, i + SLOW_AT_ONCE);
      const some = slow.flatMap((fault) => designs.map(({ id }) => ({ design: id, fault })));
      cells.push(...(await Promise.all(some.map((pair) => runCell(pair, hosts, options)))));
    }
    const place = ({ design, fault }: Cell) =>
      DESIGNS.findIndex(({ id }) => id === design) * FAULTS.length +
      FAULTS.findIndex(({ id }) => id === fault);
    return cells.sort((one, other) => place(one) - place(other));
  } finally {
    options.signal?.removeEventListener('abort', stop);
    await hosts.stop();
  }
}

async function runCell(
  { design, fault }: { design: string; fault: Fault },
  hosts: Hosts,
  { onCell, onRun }: MatrixOptions,
): Promise<Cell> {
  const experiment = new Experiment(design, hosts);
  const { verdict, because } = await fault.happen(experiment);
  const { succeeded: payments } = await experiment.ledger();
  const correct = verdict === fault.expected;
  const { run } = experiment;
  const cell: Cell = { design, fault: fault.id, verdict, correct, payments, because, run };
  onRun?.(
    experiment.asRun(
      `${design}: ${fault.title}`,
      { sentence: because, payments: { keyed: payments }, holds: correct },
      hosts.journal(),
    ),
  );
  onCell?.(cell);
  return cell;
}

/** The matrix as text, for a slide. */
export function matrixTable(cells: readonly Cell[]): string {
  const width = Math.max(...DESIGNS.map(({ title }) => title.length));
  const head = FAULTS.map((_, i) => String(i + 1).padStart(3)).join('');
  const rows = DESIGNS.map(({ id, title }) => {
    const marks = FAULTS.map((fault) => {
      const cell = cells.find(({ design, fault: name }) => design === id && name === fault.id);
      return (cell ? markOf(cell) : '').padStart(3);
    });
    return `${title.padEnd(width)}${marks.join('')}`;
  });
  const legend = FAULTS.map(({ title }, i) => `${String(i + 1).padStart(2)} ${title}`);
  return [
    `${' '.repeat(width)}${head}`,
    ...rows,
    '',
    ...legend,
    '',
    '✓ right   2 charged twice   0 never charged   ∞ stuck   ✗ wrong answer   - refused   (- is right where a refusal is)',
  ].join('\n');
}

const MARKS: Record<Cell['verdict'], string> = {
  'charged once': '1',
  'charged twice': '2',
  'never charged': '0',
  stuck: '∞',
  'wrong answer': '✗',
  refused: '-',
  'not run': '.',
};

const markOf = ({ correct, verdict }: Cell) => (correct ? '✓' : MARKS[verdict]);
