import { request } from 'node:http';

export interface Answer {
  status: number;
  body: string;
  headers: Record<string, string | string[] | undefined>;
}

/** Sends one request on its own connection. @returns undefined without a complete response: the outcome is unknown. */
export async function send(
  port: number,
  method: string,
  path: string,
  { headers = {}, body, timeoutMs = 12_000 }: SendOptions = {},
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const sent = request(
      { host: '127.0.0.1', port, method, path, agent: false, headers: { ...headers } },
      (response) => {
        let text = '';
        response
          .setEncoding('utf8')
          .on('data', (chunk: string) => (text += chunk))
          .on('error', () => resolve(undefined))
          .on('end', () => {
            const { statusCode = 0, complete } = response;
            resolve(
              complete ? { status: statusCode, body: text, headers: response.headers } : undefined,
            );
          });
      },
    );
    const timer = setTimeout(() => sent.destroy(), timeoutMs);
    sent
      .on('error', () => resolve(undefined))
      .on('close', () => {
        clearTimeout(timer);
        resolve(undefined);
      });
    sent.end(body);
  });
}

export interface SendOptions {
  headers?: Record<string, string>;
  body?: string;
  timeoutMs?: number;
}
