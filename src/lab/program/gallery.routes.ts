import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Express } from 'express';
import type { Cell } from '../run.js';
import { sendStream, type Item } from './run-stream.js';
import { UnknownRun, type Runs } from './runs.js';
import { reasonOf, reportUnlessAway } from './trouble.js';

/** Matrices in memory. With more, the oldest is forgotten. */
const MAX_MATRICES = 10;

interface Matrix {
  items: Item[];
  changes: EventEmitter;
}

/** The gallery of designs, and the matrix of what they do under each fault. Loaded by the first request for it. */
export function galleryRoutes(app: Express, runs: Runs, databaseUrl: string): void {
  const matrices = new Map<string, Matrix>();
  let running: string | undefined;

  app.post('/api/matrix', (_request, response) => {
    if (running === undefined) {
      const id = randomBytes(6).toString('hex');
      running = id;
      const matrix: Matrix = { items: [], changes: new EventEmitter().setMaxListeners(0) };
      matrices.set(id, matrix);
      if (matrices.size > MAX_MATRICES) matrices.delete(matrices.keys().next().value!);
      void fill(matrix, runs, databaseUrl).finally(() => (running = undefined));
    }
    response.status(201).json({ id: running }); // one at a time: it uses all of the machine's CPU
  });

  app.get('/api/matrix/:id/events', (request, response) => {
    const matrix = matrices.get(request.params.id);
    if (!matrix) throw new UnknownRun();
    const { items, changes } = matrix;
    const onChange = (listener: () => void) => {
      changes.on('change', listener);
      return () => void changes.off('change', listener);
    };
    sendStream({ items, onChange }, request, response);
  });

  app.get('/api/designs/:id/source', async (request, response) => {
    const { DESIGNS } = await import('../designs/gallery.js');
    const design = DESIGNS.find(({ id }) => id === request.params.id);
    if (!design) return void response.status(404).json({ error: 'there is no such design' });
    response.type('text/plain; charset=utf-8').send(await sourceText(design.file));
  });
}

async function fill(matrix: Matrix, runs: Runs, databaseUrl: string): Promise<void> {
  const push = (type: string, data: unknown) => {
    matrix.items.push({ id: matrix.items.length + 1, type, data });
    matrix.changes.emit('change');
  };
  try {
    const { runMatrix } = await import('../designs/matrix.js');
    const cells = await runMatrix({
      databaseUrl,
      onCell: (cell: Cell) => push('cell', cell),
      onRun: (run) => runs.keep(run),
    });
    push('end', {
      state: 'ended',
      holds: cells.every(({ design, correct }) => design !== 'ours' || correct),
    });
  } catch (error) {
    reportUnlessAway('the matrix failed', error);
    push('end', { state: 'failed', error: reasonOf(error) });
  }
}

/** The source as it is in the project: the build does not contain it. */
async function sourceText(file: string): Promise<string> {
  const src = import.meta.url.slice(0, import.meta.url.lastIndexOf('/src/'));
  // A build's `src` is two folders below the project (`.build/<hash>/src`); that of single modules, three.
  for (const up of ['../..', '../../..', '..', '.']) {
    const text = await readFile(fileURLToPath(new URL(`${src}/${up}/${file}`)), 'utf8').catch(
      () => undefined,
    );
    if (text !== undefined) return text;
  }
  return 'The source is not beside this build.\n';
}
