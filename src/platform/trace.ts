import { AsyncLocalStorage } from 'node:async_hooks';
import type { NextFunction, Request, Response } from 'express';

/** The client's place in a distributed trace. */
export interface Trace {
  /** As it came: this service makes no spans of its own, so it passes the header on unchanged. */
  traceparent: string;
  /** 32 hex digits. */
  traceId: string;
}

/** Version 00 of W3C Trace Context, section 3.2: lower-case hex, and neither id is all zeros. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

const traces = new AsyncLocalStorage<Trace>();

/** Middleware: all that runs for this request belongs to the client's trace. An invalid header counts as none. */
export function followTrace(request: Request, _response: Response, next: NextFunction): void {
  const { traceparent } = request.headers;
  const traceId = typeof traceparent === 'string' && TRACEPARENT.exec(traceparent)?.[1];
  if (typeof traceparent !== 'string' || !traceId) return next();
  traces.run({ traceparent, traceId }, next);
}

/** Undefined where no client is: in the sweep, in a job, at boot. */
export function currentTrace(): Trace | undefined {
  return traces.getStore();
}
