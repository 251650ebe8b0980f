import { randomBytes } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';

declare module 'express-serve-static-core' {
  interface Request {
    requestId: string;
  }
}

/** Middleware: every request has a name of its own, and every answer carries it. */
export function nameRequest(request: Request, response: Response, next: NextFunction): void {
  request.requestId = randomId('req');
  response.setHeader('Request-Id', request.requestId);
  next();
}

/** An id for what no key names: 120 random bits in base32hex. */
export function randomId(prefix: string): string {
  const bits = randomBytes(15).toString('hex');
  return `${prefix}_${BigInt(`0x${bits}`).toString(32).padStart(24, '0')}`;
}
