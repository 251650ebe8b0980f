import { subscribe } from 'node:diagnostics_channel';
import { ClientRequest, type IncomingMessage } from 'node:http';
import { cut, maskedHead, type About, type Journal } from './journal-writer.js';
import { ownerOf, runContext } from './run-context.js';

const bodies = new WeakMap<ClientRequest, string>();

/** Records what this process sends to the processor and to receivers of webhooks, as it crosses the wire. */
export function recordCalls(journal: Journal): void {
  keepBodies();
  subscribe('http.client.request.start', (message) => {
    const { request } = message as { request: ClientRequest };
    const about = aboutOf(request);
    if (!about) return;
    const isDelivery = header(request, 'webhook-id') !== undefined;
    const other = isDelivery ? 'receiver' : 'processor';
    const key = header(request, isDelivery ? 'webhook-id' : 'idempotency-key');
    const { method, path } = request;
    const head = Object.entries(request.getHeaders()).flatMap(([name, value]) => [
      name,
      String(value),
    ]);
    const bytes = `${method} ${path} HTTP/1.1\r\n${maskedHead(head)}\r\n${bodies.get(request) ?? ''}`;
    journal.write(
      { kind: 'call', method, path, to: other, bytes: cut(bytes), ...(key && { key }) },
      about,
    );
    request.once('error', (error: NodeJS.ErrnoException) =>
      journal.write(
        { kind: 'answer', from: other, error: error.code ?? error.name, bytes: '' },
        about,
      ),
    );
    request.once('response', (response: IncomingMessage) =>
      recordAnswer(journal, about, other, response),
    );
  });
}

function recordAnswer(
  journal: Journal,
  about: About,
  from: 'processor' | 'receiver',
  response: IncomingMessage,
): void {
  const { statusCode: status = 0, rawHeaders } = response;
  let body = '';
  // Not a listener, which would start the stream before its reader exists. `null` is the end.
  const push = response.push.bind(response);
  response.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (Buffer.isBuffer(chunk)) body += chunk.toString();
    else if (chunk === null) {
      const bytes = cut(`HTTP/1.1 ${status}\r\n${maskedHead(rawHeaders)}\r\n${body}`);
      const outcome = outcomeIn(body, response);
      journal.write({ kind: 'answer', from, status, bytes, ...(outcome && { outcome }) }, about);
    }
    return push(chunk, encoding);
  };
}

/** `succeeded`, `insufficient_funds`, `succeeded, replayed`. */
function outcomeIn(body: string, { headers }: IncomingMessage): string | undefined {
  const replayed = headers['idempotent-replayed'] === 'true' ? ', replayed' : '';
  try {
    const { status, error } = JSON.parse(body) as {
      status?: string;
      error?: { code?: string; decline_code?: string; type?: string };
    };
    const what = error?.decline_code ?? error?.code ?? error?.type ?? status;
    return what === undefined ? undefined : `${what}${replayed}`;
  } catch {
    return undefined;
  }
}

/** Finds the run of a call by the request, or by the id that the call is sent under: the sweep has no request. */
function aboutOf(request: ClientRequest): About | undefined {
  const context = runContext.getStore();
  const account =
    context?.account ??
    ownerOf(header(request, 'idempotency-key')) ??
    ownerOf(header(request, 'webhook-id'));
  return account === undefined
    ? undefined
    : { account, ...(context?.attempt && { attempt: context.attempt }) };
}

function header(request: ClientRequest, name: string): string | undefined {
  const value = request.getHeader(name);
  return typeof value === 'string' ? value : undefined;
}

/**
 * Keeps each request's body. When the diagnostics channel reports a request, its body is already sent and cannot be
 * read.
 */
function keepBodies(): void {
  const { write, end } = ClientRequest.prototype as unknown as Record<
    'write' | 'end',
    (...args: unknown[]) => unknown
  >;
  const keeping = (method: typeof write) =>
    function (this: ClientRequest, ...args: unknown[]) {
      const [chunk] = args;
      if (typeof chunk === 'string' || Buffer.isBuffer(chunk))
        bodies.set(this, (bodies.get(this) ?? '') + chunk.toString());
      return method.apply(this, args);
    };
  Object.assign(ClientRequest.prototype, { write: keeping(write), end: keeping(end) });
}
