import type { NextFunction, Request, Response } from 'express';

/** Sees every request before anything else does, also those that no route will take. */
export abstract class RequestWatch {
  abstract watch(request: Request, response: Response, next: NextFunction): void;
}
