import { expect } from '@jest/globals';

/** One answer to a keyed request, and what its `retry` promised. */
interface PromisedAnswer {
  status: number;
  code: string;
  retry: string | undefined;
  /** The charge or refund that the answer was about. */
  object: string | undefined;
  text: string;
}

const answersByRequest = new Map<string, PromisedAnswer[]>();
/** `same_key` answers without Retry-After. */
const withoutPatience: string[] = [];

/** Records every answer to a POST with a key, in the order in which clients received them. */
export function hear(
  url: string,
  key: string | null | undefined,
  request: unknown,
  reply: Reply,
): void {
  const { pathname } = new URL(url);
  if (isNotOurs(pathname)) return;
  const { status, text } = reply;
  if (isSameKey(reply) && !/^[1-9]\d*$/.test(retryAfter(reply)))
    withoutPatience.push(`${pathname}: ${text}`);
  if (typeof key !== 'string') return;
  const body = (reply.body ?? {}) as Partial<
    Record<'code' | 'retry' | 'id' | 'charge' | 'refund', string>
  > & { resource?: { id: string } };
  const named = pathname.endsWith('/refunds') ? body.refund : (body.charge ?? body.resource?.id);
  const name = JSON.stringify([pathname, key, request]);
  const answers = answersByRequest.get(name) ?? [];
  answers.push({
    status,
    text,
    code: String(body.code),
    retry: status < 300 ? undefined : String(body.retry),
    object: status < 300 ? body.id : named,
  });
  answersByRequest.set(name, answers);
}

interface Reply {
  status: number;
  headers: Headers | Partial<Record<string, string | string[]>>;
  text: string;
  body: unknown;
}

function isSameKey({ status, body }: Reply): boolean {
  return status >= 400 && (body as { retry?: unknown } | undefined)?.retry === 'same_key';
}

function retryAfter({ headers }: Reply): string {
  const name = 'retry-after';
  return String(headers instanceof Headers ? headers.get(name) : headers[name]);
}

/** The processor's API, and the naive lane, which promises nothing. */
const isNotOurs = (path: string) => path.startsWith('/v1/') || path.includes('/naive/');

/**
 * Checks what an automatic client relies on, against all recorded answers. Runs at the end of each file
 * (test/support/after-each-file.ts); files with clean books also check against the processor's ledger.
 * @param moved the charges that customers have paid, and the succeeded refunds.
 */
export function expectPromisesKept(moved: ReadonlySet<string> = new Set()): void {
  expect(withoutPatience).toEqual([]);
  for (const [request, answers] of answersByRequest) {
    const about = { request, answers: answers.map(({ status, code }) => `${status} ${code}`) };
    // `new_key` is never right while money may have moved: it would move twice. If there is an object, some answer
    // named it.
    const done = answers.some(({ object, status }) => status < 300 || moved.has(object ?? ''));
    const newKey = answers.filter(({ retry }) => retry === 'new_key');
    expect({ ...about, newKey: done ? newKey : [] }).toEqual({ ...about, newKey: [] });
    const ends = answers.filter(({ status }) => status < 300 || status === 402);
    // One intent has one outcome: all its final answers are equal, byte for byte.
    expect({ ...about, outcomes: new Set(ends.map(({ text }) => text)).size }).toEqual({
      ...about,
      outcomes: Math.min(ends.length, 1),
    });
    const no = answers.findIndex(({ retry }) => retry === 'no');
    const yes = no < 0 ? [] : answers.slice(no).filter(({ status }) => status < 300);
    expect({ ...about, afterNo: yes }).toEqual({ ...about, afterNo: [] });
  }
}

/** Call before a test uses another database, or makes a server break its promises on purpose. */
export function forgetPromises(): void {
  answersByRequest.clear();
  withoutPatience.length = 0;
}
