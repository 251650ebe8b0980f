import { existsSync } from 'node:fs';
import type { Express, Response } from 'express';
import { htmlOf, PAGE, svgOf } from '../drawing.js';
import { mermaidOf } from './mermaid.js';
import { UnknownRun, type Runs } from './runs.js';

/** An exported page contains its styles, and no script. */
const STANDALONE = "default-src 'none'; style-src 'unsafe-inline'";

/** The page, and the export formats of a run. */
export function pageRoutes(app: Express, runs: Runs): void {
  app.get('/', (_request, response) => sendPage(response));
  for (const file of ['page.js', 'styles.css'])
    app.get(`/${file}`, (_request, response) => response.sendFile(file, { root: PAGE }));
  app.get('/runs/:name', async (request, response) => {
    const [id = '', format] = request.params.name.split('.');
    const { run } = runs.find(id);
    switch (format) {
      case undefined:
        return sendPage(response);
      case 'json':
        return void response.json(run);
      case 'mmd':
        return void response.type('text/plain; charset=utf-8').send(mermaidOf(run));
      case 'svg':
        return void response
          .set('Content-Security-Policy', STANDALONE)
          .type('image/svg+xml')
          .send(await svgOf(run));
      case 'html':
        return void response
          .set('Content-Security-Policy', STANDALONE)
          .type('html')
          .send(await htmlOf(run));
      default:
        throw new UnknownRun();
    }
  });
}

function sendPage(response: Response): void {
  if (existsSync(`${PAGE}index.html`)) return response.sendFile('index.html', { root: PAGE });
  response
    .type('html')
    .send(
      '<!doctype html><title>The lab</title><p>The page is not built. <code>npm run build</code> builds it.',
    );
}
