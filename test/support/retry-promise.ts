import { expect } from '@jest/globals';

/** What `retry` promised to a client, for every keyed request that a test file sent. */
interface Told {
  status: number;
  code: string;
  retry: string | undefined;
  /** The charge or refund that the answer was about. */
  object: string | undefined;
  text: string;
}

const told = new Map<string, Told[]>();
/** Answers that ask for the same request again, and do not say when. */
const withoutPatience: string[] = [];

/** Every answer comes here, in the order in which clients received them. Of a POST, with its key. */
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
  const answers = told.get(name) ?? [];
  answers.push({
    status,
    text,
    code: String(body.code),
    retry: status < 300 ? undefined : String(body.retry),
    object: status < 300 ? body.id : named,
  });
  told.set(name, answers);
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

/** The processor's, and the control, on purpose without any promise. */
const isNotOurs = (path: string) => path.startsWith('/v1/') || path.includes('/naive/');

/**
 * What a machine that obeys `retry` relies on, held against all that was said: at the end of each file by
 * test/support/after-each-file.ts, and in files with clean books against the processor's ledger as well.
 *
 * @param moved the charges that a customer has paid for, and the refunds that came back.
 */
export function expectPromisesKept(moved: ReadonlySet<string> = new Set()): void {
  expect(withoutPatience).toEqual([]);
  for (const [request, answers] of told) {
    const about = { request, answers: answers.map(({ status, code }) => `${status} ${code}`) };
    // Never while money may have moved: then it would move twice. Some answer has named the object, if there is one.
    const done = answers.some(({ object, status }) => status < 300 || moved.has(object ?? ''));
    const newKey = answers.filter(({ retry }) => retry === 'new_key');
    expect({ ...about, newKey: done ? newKey : [] }).toEqual({ ...about, newKey: [] });
    const ends = answers.filter(({ status }) => status < 300 || status === 402);
    // One intent has one outcome, to the byte, whoever asks and however often.
    expect({ ...about, outcomes: new Set(ends.map(({ text }) => text)).size }).toEqual({
      ...about,
      outcomes: Math.min(ends.length, 1),
    });
    const no = answers.findIndex(({ retry }) => retry === 'no');
    const yes = no < 0 ? [] : answers.slice(no).filter(({ status }) => status < 300);
    expect({ ...about, afterNo: yes }).toEqual({ ...about, afterNo: [] });
  }
}

/** What follows is about another database, or about a server that was made to lie. */
export function forgetPromises(): void {
  told.clear();
  withoutPatience.length = 0;
}
