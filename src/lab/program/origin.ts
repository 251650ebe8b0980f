import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { NextFunction, Request, Response } from 'express';

/**
 * Middleware against DNS rebinding: a page of another site lets its host name resolve to this machine, and its scripts
 * then have our origin. `Host` still contains the name that the browser requested. An IP address cannot be rebound.
 * @param own host names under which the lab is published.
 */
export function refuseForeignHosts(own: readonly string[]) {
  const names = new Set(
    [...own, hostname(), `${hostname()}.local`].map((name) => name.toLowerCase()),
  );
  return (request: Request, response: Response, next: NextFunction): void => {
    if (isOurs(hostOf(request.headers.host), names)) return next();
    const error = 'Open the lab by an IP address, by localhost, or by the name of its machine.';
    response.status(421).json({ error });
  };
}

function hostOf(header = ''): string {
  try {
    return new URL(`http://${header}`).hostname.replaceAll(/^\[|\]$/g, '');
  } catch {
    return '';
  }
}

function isOurs(host: string, names: ReadonlySet<string>): boolean {
  return isIP(host) > 0 || /^(?:.+\.)?localhost$/.test(host) || names.has(host);
}

/**
 * Middleware: a POST must be JSON. A page of another origin cannot send this type without a preflight request, which no
 * route answers.
 */
export function refuseForms(request: Request, response: Response, next: NextFunction): void {
  if (request.method === 'POST' && !request.is('application/json'))
    return void response.status(415).json({ error: 'send application/json' });
  next();
}
