import { request } from 'node:http';
import { text } from 'node:stream/consumers';

/** What the client got for a request. Without a status, the client does not know what happened. */
export interface Outcome {
  status: number;
  body: string;
}
const UNKNOWN: Outcome = { status: 0, body: '' };

interface Exchange {
  port: number;
  path: string;
  method: string;
  headers?: Record<string, string>;
  body?: string;
  timeoutMs: number;
}

/** Sends one request, once, on its own connection. */
export function exchange({
  port,
  path,
  method,
  headers,
  body,
  timeoutMs,
}: Exchange): Promise<Outcome> {
  return new Promise((done) => {
    const sent = request(
      { host: '127.0.0.1', port, path, method, headers, agent: false },
      (response) => {
        text(response).then(
          (answer) => done({ status: response.statusCode ?? 0, body: answer }),
          () => done(UNKNOWN),
        );
      },
    );
    const timer = setTimeout(() => sent.destroy(), timeoutMs);
    sent.on('error', () => done(UNKNOWN)).on('close', () => clearTimeout(timer));
    sent.end(body);
  });
}
