import { randomBytes } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';

declare module 'express-serve-static-core' {
  interface Request {
    requestId: string;
  }
}

/** Middleware: gives every request an id, and every response its `Request-Id` header. */
export function assignRequestId(request: Request, response: Response, next: NextFunction): void {
  request.requestId = randomId('req');
  response.setHeader('Request-Id', request.requestId);
  next();
}

/** A random id, not derived from an idempotency key: 120 bits in base32hex. */
export function randomId(prefix: string): string {
  const bits = randomBytes(15).toString('hex');
  return `${prefix}_${BigInt(`0x${bits}`).toString(32).padStart(24, '0')}`;
}
