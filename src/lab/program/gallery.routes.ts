import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Express } from 'express';
import { DESIGNS } from '../designs/gallery.js';
import { runMatrix } from '../designs/matrix.js';
import type { Cell } from '../run.js';
import type { Runs } from './runs.js';

/** A matrix that goes on, or has ended: its cells in the order in which they came. */
class Matrix extends EventEmitter {
  readonly id = String(Date.now());
  readonly cells: Cell[] = [];
  state: 'running' | 'ended' | 'failed' = 'running';

  add(cell: Cell): void {
    this.cells.push(cell);
    this.emit('change');
  }

  end(state: 'ended' | 'failed'): void {
    this.state = state;
    this.emit('change');
  }
}

/** The gallery of designs. One matrix at a time: a second visitor follows the one that runs. */
export function galleryRoutes(app: Express, runs: Runs, databaseUrl: string): void {
  let matrix: Matrix | undefined;
  app.post('/api/matrix', (_request, response) => {
    if (matrix?.state !== 'running') {
      const begun = (matrix = new Matrix().setMaxListeners(0));
      runMatrix({
        databaseUrl,
        onCell: (cell) => begun.add(cell),
        onRun: (run) => runs.adopt(run),
      }).then(
        () => begun.end('ended'),
        () => begun.end('failed'), // its page says so; the service of the lab goes on
      );
    }
    response.status(201).json({ id: matrix.id });
  });
  app.get('/api/matrix/:id/events', (request, response) => {
    const followed = matrix;
    if (followed?.id !== request.params.id)
      return void response.status(404).json({ error: 'there is no such matrix' });
    let next = Number(request.get('Last-Event-ID') ?? 0);
    response.set({ 'Content-Type': 'text/event-stream' }).flushHeaders();
    const push = () => {
      for (; next < followed.cells.length; next++) {
        const data = JSON.stringify(followed.cells[next]);
        response.write(`id: ${next + 1}\nevent: cell\ndata: ${data}\n\n`);
      }
      if (followed.state === 'running') return;
      response.write(`event: end\ndata: ${JSON.stringify({ state: followed.state })}\n\n`);
      response.end();
    };
    followed.on('change', push);
    request.on('close', () => followed.off('change', push));
    push();
  });
  app.get('/api/designs/:id/source', async (request, response) => {
    const design = DESIGNS.find(({ id }) => id === request.params.id);
    if (!design) return void response.status(404).json({ error: 'there is no such design' });
    const source = await readFile(design.file, 'utf8').catch(
      () => `The sources are not here. Read ${design.file} in the repository.`,
    );
    response.json({ source });
  });
}
