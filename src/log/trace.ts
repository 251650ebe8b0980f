import { AsyncLocalStorage } from 'node:async_hooks';
import type { NextFunction, Request, Response } from 'express';

/** The client's place in a distributed trace. */
export interface Trace {
  /** The header in version 00. It is passed on unchanged, because this service creates no spans. */
  traceparent: string;
  /** 32 hex digits. */
  traceId: string;
}

/** W3C Trace Context, section 3.2: lower-case hex, neither id is all zeros, and no version is ff. */
const TRACEPARENT =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** The only flag that this service knows. */
const SAMPLED = 1;

const traces = new AsyncLocalStorage<Trace>();

/** Middleware: all code that runs for this request belongs to the client's trace. An invalid header is ignored. */
export function followTrace(request: Request, _response: Response, next: NextFunction): void {
  const { traceparent } = request.headers;
  const trace = typeof traceparent === 'string' ? traceOf(traceparent) : undefined;
  if (!trace) return next();
  traces.run(trace, next);
}

/** Section 3.2.4: a later version is read and passed on as 00, without the fields that it adds. */
function traceOf(traceparent: string): Trace | undefined {
  const [, version, traceId, parentId, flags = '', more] = TRACEPARENT.exec(traceparent) ?? [];
  if (!traceId) return undefined;
  if (version === '00') return more === undefined ? { traceparent, traceId } : undefined;
  const sampled = parseInt(flags, 16) & SAMPLED;
  return { traceparent: `00-${traceId}-${parentId}-0${sampled}`, traceId };
}

/** Undefined where no request runs: in the sweep, in a job, at boot. */
export function currentTrace(): Trace | undefined {
  return traces.getStore();
}
