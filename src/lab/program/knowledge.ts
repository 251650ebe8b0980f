import type { Knowledge } from '../run.js';
import type { Exchange } from './client.js';

/** What a client knows after an exchange. */
export function knowledgeOf(result: Exchange): Pick<Knowledge, 'state' | 'text'> {
  if (result.kind === 'refused') return { state: 'failed', text: 'not sent: the service is down' };
  if (result.kind === 'lost') return { state: 'unknown', text: `${result.reason}: paid or not?` };
  const { status, headers, body } = result;
  const code = /"code":"(\w+)"/.exec(body)?.[1];
  const replayed = headers.get('idempotent-replayed') === 'true';
  if (status < 300) return { state: 'ok', text: `${status}${replayed ? ', replayed' : ''}` };
  const isOpen =
    status >= 500 || code === 'idempotency_request_in_progress' || code === 'payment_pending';
  return {
    state: isOpen ? 'unknown' : 'failed',
    text: `${status} ${code ?? ''}${replayed ? ', replayed' : ''}`.trim(),
  };
}

/** How long the answer asks the client to wait before it retries. */
export function retryAfterMs(result: Exchange): number {
  const seconds = result.kind === 'response' ? Number(result.headers.get('retry-after')) : NaN;
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 500;
}
