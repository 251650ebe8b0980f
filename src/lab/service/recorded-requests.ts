import type { NextFunction, Request, Response } from 'express';
import { LAB_ACCOUNT } from '../journal.js';
import { cut, maskedHead, type About, type Journal } from './journal-writer.js';
import { theRecorder } from './lab-options.js';
import { contextOf, runContext } from './run-context.js';

/** Middleware, the first of ours: all code that runs after it belongs to the request's run. */
export function enterRun(request: Request, _response: Response, next: NextFunction): void {
  const context = contextOf(request);
  const { account } = context;
  const header = request.headers['lab-fault'];
  const fault =
    typeof header === 'string'
      ? header
      : account && request.method !== 'GET' && theRecorder()?.armed.take(account, 'api');
  runContext.run({ ...context, ...(fault && { fault }) }, next);
}

/** Middleware: records a request of a run when it arrives. */
export function recordRequest(request: Request, _response: Response, next: NextFunction): void {
  const { journal, about, fault } = recording() ?? {};
  if (!journal) return next();
  const key = request.headers['idempotency-key'];
  journal.write(
    {
      kind: 'request',
      method: request.method,
      path: request.originalUrl,
      bytes: cut(
        `${request.method} ${request.originalUrl} HTTP/1.1\r\n${maskedHead(request.rawHeaders)}`,
      ),
      ...(typeof key === 'string' && { key }),
      ...(fault && { fault }),
      ...(fault === 'lose-request' && { lost: true }),
    },
    about,
  );
  if (about?.attempt === undefined) recordBody(request, journal, about ?? {});
  next();
}

/** Middleware, after the one that breaks connections: records a response when it is sent, or would be. */
export function recordResponse(_request: Request, response: Response, next: NextFunction): void {
  const { journal, about, fault } = recording() ?? {};
  if (!journal) return next();
  const end = response.end.bind(response) as (...rest: unknown[]) => Response;
  response.end = ((...rest: unknown[]) => {
    const [body] = rest;
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body.toString() : '';
    const head = Object.entries(response.getHeaders()).flatMap(([name, value]) => [
      name,
      String(value),
    ]);
    journal.write(
      {
        kind: 'response',
        status: response.statusCode,
        replayed: response.getHeader('Idempotent-Replayed') !== undefined,
        bytes: cut(`HTTP/1.1 ${response.statusCode}\r\n${maskedHead(head)}\r\n${text}`),
        ...(fault === 'lose-response' && { lost: true }),
      },
      about,
    );
    return end(...rest);
  }) as Response['end'];
  next();
}

function recording() {
  const context = runContext.getStore();
  const journal = theRecorder()?.journal;
  if (!journal || !context?.account) return undefined;
  const { account, attempt, fault } = context;
  return { journal, fault, about: { account, ...(attempt && { attempt }) } };
}

/**
 * Records the bytes of the body while the API reads them: afterwards only the parsed object is left. The head was
 * recorded before. Not for the lab's own client, which knows what it has sent.
 */
function recordBody(request: Request, journal: Journal, about: About): void {
  const chunks: Buffer[] = [];
  const key = request.headers['idempotency-key'];
  const emit = request.emit.bind(request) as (event: string, ...values: unknown[]) => boolean;
  request.emit = (event: string, ...values: unknown[]) => {
    if (event === 'data') chunks.push(values[0] as Buffer);
    if (event === 'end' && chunks.length > 0) {
      const text = cut(Buffer.concat(chunks).toString());
      journal.write({ kind: 'body', text, ...(typeof key === 'string' && { key }) }, about);
    }
    return emit(event, ...values);
  };
}

/** Records a notification of the processor about a charge of a run. Its body was read before. */
export function recordNotification(request: Request): void {
  const journal = theRecorder()?.journal;
  if (!journal || request.path !== '/webhooks/processor' || !Buffer.isBuffer(request.body)) return;
  try {
    const text = request.body.toString();
    const event = JSON.parse(text) as {
      type?: string;
      data?: { object?: { metadata?: { account?: string } } };
    };
    const account = event.data?.object?.metadata?.account;
    if (account === undefined || !LAB_ACCOUNT.test(account)) return;
    const context = runContext.getStore();
    if (context) context.account = account;
    const head = `POST ${request.path} HTTP/1.1\r\n${maskedHead(request.rawHeaders)}\r\n`;
    journal.write(
      { kind: 'notification', type: String(event.type), bytes: cut(head + text) },
      { account },
    );
  } catch {
    // Not JSON: the route refuses it.
  }
}
