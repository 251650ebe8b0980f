import type { NextFunction, Request, Response } from 'express';

/** Middleware that sees every request first, including requests that match no route. */
export abstract class RequestWatch {
  abstract watch(request: Request, response: Response, next: NextFunction): void;
}
