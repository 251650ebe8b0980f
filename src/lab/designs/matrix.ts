import type { Cell, Run } from '../run.js';
import { Experiment } from './experiment.js';
import { FAULTS, type Fault } from './faults.js';
import { DESIGNS, GALLERY } from './gallery.js';
import { Hosts } from './hosts.js';

export interface MatrixOptions {
  /** Any database of a PostgreSQL server. The role must be allowed to create databases. */
  databaseUrl: string;
  onCell?: (cell: Cell) => void;
  /** What happened in a cell, for the diagram. */
  onRun?: (run: Run) => void;
}

/** Connections of each design. A host that is killed or frozen needs one, a host with the slow processor ten. */
const HOSTS = {
  steady: { poolSize: 2 },
  'before-call': { poolSize: 1 },
  'after-call': { poolSize: 1 },
  sleeper: { poolSize: 1 },
  slow: { poolSize: 10 },
};

/** Runs every fault against every design, on real processes. @returns the cells, design by design. */
export async function runMatrix(options: MatrixOptions): Promise<Cell[]> {
  const hosts = await Hosts.start(options.databaseUrl, HOSTS);
  try {
    const cells: Cell[] = [];
    for (const atOnce of new Set(FAULTS.map((fault) => fault.atOnce))) {
      const pairs = FAULTS.filter((fault) => fault.atOnce === atOnce).flatMap((fault) =>
        DESIGNS.map(({ id }) => ({ design: id, fault })),
      );
      cells.push(...(await sideBySide(pairs, atOnce, (pair) => runCell(pair, hosts, options))));
    }
    const place = ({ design, fault }: Cell) =>
      DESIGNS.findIndex(({ id }) => id === design) * FAULTS.length +
      FAULTS.findIndex(({ id }) => id === fault);
    return cells.sort((one, other) => place(one) - place(other));
  } finally {
    await hosts.stop();
  }
}

async function sideBySide<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items];
  const next = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
      results.push(await work(item));
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, next));
  return results;
}

async function runCell(
  { design, fault }: { design: string; fault: Fault },
  hosts: Hosts,
  { onCell, onRun }: MatrixOptions,
): Promise<Cell> {
  const experiment = new Experiment(design, hosts);
  const judged = await fault.run(experiment);
  const { missed } = experiment;
  const { verdict, because } =
    missed === undefined ? judged : { verdict: 'not run' as const, because: missed };
  const { succeeded: payments } = await experiment.ledger();
  const correct = verdict === fault.expected;
  const { run } = experiment;
  const cell: Cell = { design, fault: fault.id, verdict, correct, payments, because, run };
  onRun?.(
    experiment.asRun(
      `${GALLERY[design]!.title}: ${fault.title}`,
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
