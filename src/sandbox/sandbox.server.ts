import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import express, { type NextFunction, type Request, type Response } from 'express';
import type pg from 'pg';
import type { SandboxConfig } from './config.js';
import Stripe from 'stripe';
import { ledgerPage } from './ledger.page.js';
import { inTransaction, openLedger } from './ledger.schema.js';
import { requireFitSession } from './ledger.session.js';
import { newId } from './payment-intents.object.js';
import { paymentIntentsRouter } from './payment-intents.routes.js';
import type { IdempotencyOptions } from './protocol/idempotency.middleware.js';
import { isMissingPart } from './protocol/missing-parts.js';
import { pruneKeys } from './protocol/idempotency.store.js';
import { refundsRouter } from './refunds.routes.js';
import { startTurning } from './refunds.turning.js';
import {
  errorBody,
  invalidRequest,
  missingPart,
  StripeError,
  unauthorized,
  unrecognizedUrl,
} from './protocol/stripe.errors.js';
import { pruneEvents } from './webhooks/events.ledger.js';
import { eventsRouter } from './webhooks/events.routes.js';
import { startSending } from './webhooks/sender.js';

export interface SandboxOptions extends Partial<SandboxConfig> {
  databaseUrl: string;
  /** How long `pm_lab_slow` takes, in milliseconds. Default 3000. */
  slowMs?: number;
  /** How `pm_lab_slow` waits. Tests pass a wait that they end themselves. */
  sleep?: (ms: number) => Promise<unknown>;
}

export interface Sandbox {
  url: string;
  port: number;
  /** Waits for requests in flight (a slow one takes 3 s), then closes everything. */
  close(): Promise<void>;
}

const PRUNE_EVERY_MS = 60_000;
const STOP_MARGIN_MS = 2_000;

/**
 * Starts a processor that implements the part of Stripe's API that we use. It creates its ledger, the schema
 * `sandbox` of the database. Several sandboxes may share one ledger.
 * @throws an error with `code: 'EADDRINUSE'` and `port` if the port is taken; any error of pg
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { databaseUrl, port = 0, host = '127.0.0.1', keyTtlSeconds = 86_400 } = options;
  const { slowMs = 3_000, sleep = delay, webhook } = options;
  const pool = await openLedger(databaseUrl);
  const held = new Set<Response>();
  const idempotency = { pool, keyTtlSeconds, slowMs, sleep, held };
  const server = createServer(createApp(idempotency, Boolean(webhook)));
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    await pool.end();
    throw error;
  }
  const prune = setInterval(() => {
    pruneKeys(pool, keyTtlSeconds)
      .then(() => pruneEvents(pool))
      .catch((error: unknown) => logFailure('prune', error));
  }, PRUNE_EVERY_MS);
  prune.unref();
  const turning = startTurning(pool, (error) => logFailure('refund', error));
  const sender = webhook && startSending(pool, webhook, (error) => logFailure('webhook', error));

  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    async close() {
      clearInterval(prune);
      await turning.stop();
      await sender?.stop();
      await closeServer(server, held, slowMs + STOP_MARGIN_MS);
      await pool.end();
    },
  };
}

function createApp(options: IdempotencyOptions, sends: boolean): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('json spaces', 2);
  app.set('query parser', false);

  app.use((_req, res, next) => {
    res.setHeader('Request-Id', newId('req_'));
    next();
  });
  app.get('/health/ready', async (_req, res) => {
    const ready = await isUp(options.pool);
    res.status(ready ? 200 : 503).json({ status: ready ? 'ok' : 'database unavailable' });
  });
  app.get('/ledger', async (_req, res) => {
    res.type('text/plain').send(await ledgerPage(options.pool));
  });
  app.use('/v1', authenticate, echoVersion);
  app.use(refuseMissingPart);
  app.use('/v1', express.text({ type: () => true, limit: '1mb' }), requireForm);
  app.use('/v1', paymentIntentsRouter(options), refundsRouter(options));
  app.use('/v1', eventsRouter(options.pool, sends));
  app.use((req) => {
    throw unrecognizedUrl(req.method, req.path);
  });
  app.use(answerError);
  return app;
}

async function isUp(pool: pg.Pool): Promise<boolean> {
  return inTransaction(pool, requireFitSession).then(
    () => true,
    () => false,
  );
}

/** Accepts any test key; all share one ledger. A key is never echoed or logged. */
function authenticate(req: Request, _res: Response, next: NextFunction): void {
  const [scheme = '', credentials = ''] = (req.headers.authorization ?? '').split(' ');
  const key =
    scheme.toLowerCase() === 'basic'
      ? Buffer.from(credentials, 'base64').toString('utf8').split(':')[0]
      : scheme.toLowerCase() === 'bearer'
        ? credentials
        : '';
  if (!key) {
    throw unauthorized(
      'You did not provide an API key. Send "Authorization: Bearer sk_test_..." or the key as the user name of Basic authentication.',
    );
  }
  if (!/^sk_test_\w+$/.test(key)) throw unauthorized('Invalid API Key provided.');
  next();
}

/** Stripe reports the API version that it answered with. Objects here have the shape of the SDK's version. */
function echoVersion(req: Request, res: Response, next: NextFunction): void {
  const version = req.get('stripe-version') ?? Stripe.API_VERSION;
  if (!/^\d{4}-\d{2}-\d{2}(\.\w+)?( *;[ -~]*)?$/.test(version)) {
    throw invalidRequest(`Invalid Stripe API version: ${version.slice(0, 100)}`);
  }
  res.setHeader('Stripe-Version', version);
  next();
}

function refuseMissingPart(req: Request, _res: Response, next: NextFunction): void {
  const { method, path } = req;
  if (isMissingPart(method, path)) throw missingPart(404, `${method} ${path}`);
  for (const header of ['Stripe-Account', 'Stripe-Context'])
    if (req.get(header) !== undefined) throw missingPart(400, `the header ${header}`);
  next();
}

function requireForm(req: Request, _res: Response, next: NextFunction): void {
  if (req.is('multipart/*')) throw missingPart(400, 'uploads (multipart/form-data)');
  const hasBody = typeof req.body === 'string' && req.body.length > 0;
  if (hasBody && !req.is('application/x-www-form-urlencoded')) {
    throw invalidRequest(
      'Invalid request: POST bodies must be sent as application/x-www-form-urlencoded.',
    );
  }
  next();
}

function answerError(error: unknown, req: Request, res: Response, _next: NextFunction): void {
  const refusal = asRefusal(error);
  if (!refusal) logFailure(req.method, error, res.getHeader('Request-Id'));
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const { status, headers, error: body } = refusal ?? INTERNAL;
  res.status(status).set(headers).json(errorBody(body));
}

/** For faults of the sandbox: everything rolled back, so the same request may be sent again. */
const INTERNAL = new StripeError(500, {
  type: 'api_error',
  message: 'Something went wrong in the sandbox; see its log.',
});

function asRefusal(error: unknown): StripeError | undefined {
  if (error instanceof StripeError) return error;
  // Express and its body parser mark client errors with a status.
  const { status } = error as { status?: unknown };
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  return new StripeError(status, {
    type: 'invalid_request_error',
    message: 'Invalid request: it could not be read.',
  });
}

/**
 * Logs one JSON line on stderr: the class, the SQLSTATE and the stack frames. No headers, no bodies, and no error
 * message, which may quote them.
 */
function logFailure(during: string, error: unknown, requestId?: unknown): void {
  const { name, code, stack, message } = Object(error) as Partial<Error & { code: unknown }>;
  const at = (stack ?? '')
    .slice((stack ?? '').indexOf(message ?? '') + (message ?? '').length)
    .split('\n')
    .filter((line) => /^\s+at .*:\d+:\d+\)?$/.test(line));
  const line = { level: 'error', time: new Date(), during, request_id: requestId, name, code, at };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

async function closeServer(server: Server, held: Set<Response>, timeoutMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // A keep-alive connection becomes idle only after its last response, and a request in flight may turn into one that
  // is never answered. So check repeatedly.
  const sweep = setInterval(() => {
    for (const res of held) res.destroy();
    server.closeIdleConnections();
  }, 50);
  const force = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(force);
}
