import type { NextFunction, Request, Response } from 'express';
import { LAB_ACCOUNT } from '../journal.js';
import { cut, maskedHead } from './journal-writer.js';
import { theRecorder } from './lab-options.js';
import { contextOf, runContext } from './run-context.js';

/** Middleware, before anything else of ours: from here on all that happens belongs to the request's run. */
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

/** Middleware: a request of a run when it arrives. */
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
  next();
}

/** Middleware, after the one that breaks connections: a response when it leaves, or would have. */
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

/** The body of a request that the lab's own client did not send: that one is known. Its head was recorded before. */
export function recordBody({ body, headers }: Request): void {
  const { journal, about } = recording() ?? {};
  if (!journal || about?.attempt !== undefined || !Buffer.isBuffer(body)) return;
  const key = headers['idempotency-key'];
  journal.write(
    { kind: 'body', text: cut(body.toString()), ...(typeof key === 'string' && { key }) },
    about,
  );
}

/** A notification of the processor about a charge of a run, when its body has been read. */
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
