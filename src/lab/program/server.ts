import { STATUS_CODES } from 'node:http';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { LabSettings } from './settings.js';
import { findPlay, GOALS, PLAYS, scenarioOf } from '../scenarios/catalogue.js';
import { FAULT_NAMES } from '../fault-names.js';
import { openedRunRoutes } from './opened-run.routes.js';
import { openOwnClient } from './own-client.js';
import { galleryRoutes } from './gallery.routes.js';
import { refuseForeignHosts, refuseForms } from './origin.js';
import { stormRoutes } from './storm.routes.js';
import { pageRoutes } from './page.routes.js';
import { parametersFor, RefusedParameter } from './parameters.js';
import { sendStream } from './run-stream.js';
import { TooManyRuns, UnknownRun, type Runs } from './runs.js';
import { Away, reasonOf, report } from './trouble.js';

/** The page loads from this server only (images also from data: URLs), and runs no script but this server's files. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function labServer(settings: LabSettings, runs: Runs): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use((_request, response, next) => {
    response.set({
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-store',
    });
    next();
  });
  app.use(refuseForeignHosts([settings.host, settings.publicHost]));
  app.get('/health/ready', (_request, response) => void response.json({ status: 'ok' }));
  openedRunRoutes(app, runs); // first: its bodies are larger
  app.use('/api', express.json({ limit: '64kb', type: 'application/json' }));
  app.use('/api', refuseForms);
  app.get('/api/catalogue', (_request, _response, next) => {
    runs.sources.start(); // a page has been opened
    next();
  });
  catalogueRoutes(app, settings);
  runRoutes(app, runs);
  stormRoutes(app, runs, visitorOf);
  galleryRoutes(app, runs, settings.databaseUrl);
  pageRoutes(app, runs);
  app.use(({ method, path }, response) => {
    response.status(404).json({ error: `there is no ${method} ${path.slice(0, 200)}` });
  });
  app.use(answerError);
  return app;
}

function catalogueRoutes(app: Express, { apiUrl, processorUrl }: LabSettings): void {
  app.get('/api/catalogue', async (_request, response) => {
    const [{ DESIGNS }, { FAULTS }] = await Promise.all([
      import('../designs/gallery.js'),
      import('../designs/faults.js'),
    ]);
    response.json({
      scenarios: PLAYS.map(scenarioOf),
      goals: GOALS,
      designs: DESIGNS,
      faults: FAULTS.map(({ id, title, story, expected }) => ({ id, title, story, expected })),
      links: {
        api: apiUrl,
        docs: `${apiUrl}/docs`,
        ledger: `${apiUrl}/lab/ledger.txt`,
        processor: `${processorUrl}/ledger`,
      },
    });
  });
}

function runRoutes(app: Express, runs: Runs): void {
  app.get(
    '/api/runs',
    (request, response) => void response.json({ runs: runs.of(visitorOf(request)) }),
  );
  app.post('/api/runs', async (request, response) => {
    const { scenario, parameters = {}, faults = [] } = request.body ?? {};
    const play = findPlay(scenario);
    if (!play) {
      const named =
        typeof scenario === 'string' ? scenario.slice(0, 60) : `of type ${typeof scenario}`;
      throw new RefusedParameter(`there is no scenario ${named}`);
    }
    const run = await runs.begin(
      play,
      parametersFor(play, parameters),
      faultsFrom(faults),
      visitorOf(request),
    );
    response.status(201).location(`/api/runs/${run.run.id}`).json({ id: run.run.id });
  });
  app.get('/api/runs/:id', (request, response) => {
    const { id } = request.params;
    const text = JSON.stringify(runs.find(id).run);
    const key = runs.findLive(id)?.accountOf('keyed')?.apiKey;
    response.type('json').send(key ? text.replaceAll('$LAB_KEY', key) : text);
  });
  app.get('/api/runs/:id/events', (request, response) => {
    sendStream(runs.streamOf(request.params.id), request, response);
  });
  app.post('/api/runs/:id/stop', (request, response) => {
    runs.stop(request.params.id, visitorOf(request));
    response.status(202).json({});
  });
  app.post('/api/own-client', async (request, response) => {
    const opened = await openOwnClient(
      runs,
      runs.tools.ledger,
      runs.tools.apiUrl,
      visitorOf(request),
    );
    response.status(201).json({ ...opened, arm: `/api/runs/${opened.id}/arm` });
  });
  app.post('/api/runs/:id/arm', (request, response) => {
    const { fault } = request.body ?? {};
    if (!FAULT_NAMES.includes(fault))
      throw new RefusedParameter(`fault is one of ${FAULT_NAMES.join(', ')}`);
    runs.arm(request.params.id, fault, visitorOf(request));
    response.status(202).json({});
  });
  app.post('/api/reset', (request, response) => {
    runs.reset(request.body?.everyone === true ? undefined : visitorOf(request));
    response.json({});
  });
}

/** Many people use one lab: each sees their own runs. */
function visitorOf(request: Request): string {
  const visitor = request.get('X-Lab-Visitor') ?? request.query.as;
  return typeof visitor === 'string' && /^[\w-]{1,64}$/.test(visitor) ? visitor : 'anyone';
}

function faultsFrom(faults: unknown): string[] {
  const isKnown = (fault: unknown) =>
    fault === '' || fault === 'send-twice' || FAULT_NAMES.includes(fault as string);
  if (!Array.isArray(faults) || faults.length > 20 || !faults.every(isKnown))
    throw new RefusedParameter(
      `faults has one for each attempt: '', send-twice, ${FAULT_NAMES.join(', ')}`,
    );
  return faults;
}

function answerError(
  error: unknown,
  _request: Request,
  response: Response,
  _next: NextFunction,
): void {
  if (error instanceof UnknownRun)
    return void response.status(404).json({ error: 'there is no such run' });
  if (error instanceof RefusedParameter)
    return void response.status(400).json({ error: error.message });
  if (error instanceof TooManyRuns) return void response.status(429).json({ error: error.message });
  if (error instanceof Away) return void response.status(503).json({ error: error.message });
  const { status } = error as { status?: unknown };
  if (typeof status === 'number' && status < 500) {
    const what = STATUS_CODES[status] ?? 'not valid';
    return void response.status(status).json({ error: `the request cannot be read: ${what}` });
  }
  report('a request failed', error);
  if (response.headersSent) return void response.destroy();
  response.status(500).json({ error: reasonOf(error) });
}
