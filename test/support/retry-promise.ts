import { expect } from '@jest/globals';

/** What `retry` promised to a client, for every keyed request that a test file sent. */
interface Told {
  status: number;
  code: string;
  retry: string | undefined;
  /** The charge that the answer was about. */
  charge: string | undefined;
  text: string;
}

const told = new Map<string, Told[]>();

/** Every answer to a `POST /charges` comes here, in the order in which clients received them. */
export function hear(
  url: string,
  key: string | null | undefined,
  request: unknown,
  reply: Reply,
): void {
  if (typeof key !== 'string' || !new URL(url).pathname.endsWith('/charges') || isNaive(url))
    return;
  const { status, text } = reply;
  const body = (reply.body ?? {}) as Partial<Record<'code' | 'retry' | 'id' | 'charge', string>> & {
    resource?: { id: string };
  };
  const name = JSON.stringify([key, request]);
  const answers = told.get(name) ?? [];
  answers.push({
    status,
    text,
    code: String(body.code),
    retry: status < 300 ? undefined : String(body.retry),
    charge: status < 300 ? body.id : (body.charge ?? body.resource?.id),
  });
  told.set(name, answers);
}

interface Reply {
  status: number;
  text: string;
  body: unknown;
}

/** A control, on purpose without any promise. */
const isNaive = (url: string) => url.includes('/naive/');

/**
 * What a machine that obeys `retry` relies on, held against all that was said and against the processor's ledger.
 *
 * @param paid the charges that a customer has paid for.
 */
export function expectPromisesKept(paid: ReadonlySet<string>): void {
  const all = [...told];
  told.clear();
  for (const [request, answers] of all) {
    const about = { request, answers: answers.map(({ status, code }) => `${status} ${code}`) };
    // Never while money may have moved: then it would be taken twice. Some answer has named the charge, if there is one.
    const taken = answers.some(({ charge }) => paid.has(charge ?? ''));
    const newKey = answers.filter(({ retry }) => retry === 'new_key');
    expect({ ...about, newKey: taken ? newKey : [] }).toEqual({ ...about, newKey: [] });
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
