import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { atPath, encode, MEDIA_TYPES, mergePatch, withReference } from '../profile/body.js';
import type { Account, Body, Profile } from '../profile/profile.js';
import { asNoAnswer, headerOf, NoAnswer, type Answer } from '../wire/answer.js';
import type { Request } from '../wire/request.js';
import type { Purchase } from './purchase.js';
import { Failed, Skipped } from './verdict.js';
import { Counter, type Expected } from './counter.js';
import {
  onOneConnection,
  releaseTogether,
  Sending,
  type Exchange,
  type Session,
} from './exchange.js';

/** What differs from the ordinary request of a purchase. */
export interface Changes {
  /** `null` sends no key. Several keys are sent as several header lines. */
  key?: string | string[] | null;
  /** `null` sends no credentials. */
  account?: Account | null;
  /** Text or bytes are sent unchanged. */
  body?: Body | string | Buffer;
  contentType?: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  chunked?: boolean;
  note?: string;
}

export type Outcome = Answer | NoAnswer;

const MAX_WAIT_FOR_LIMIT_MS = 10_000;
const RETRY_PAUSE_MS = 200;
const MAX_RETRY_PAUSE_MS = 5000;

/** The API under test, as one case uses it. */
export class Api {
  readonly exchanges: Exchange[] = [];
  private readonly counter: Counter;

  constructor(
    readonly profile: Profile,
    readonly session: Session,
  ) {
    this.counter = new Counter(profile, (account) => this.readCount(account));
  }

  /** Call it before anything is sent: a counter that has only a total must read it first. */
  async begin(): Promise<void> {
    await this.counter.begin();
  }

  get account(): Account {
    return this.profile.accounts[0]!;
  }

  /** @throws Skipped */
  get secondAccount(): Account {
    return this.needs(this.profile.accounts[1], 'a second account');
  }

  purchase(account = this.account, patch?: Body): Purchase {
    const reference = `cf-${randomUUID()}`;
    const { body } = this.profile.create;
    const whole = (patch ? mergePatch(body, patch) : body) as Body;
    return { key: this.key(), reference, account, body: withReference(whole, reference) };
  }

  /** The body of a purchase, changed; its reference stays. */
  changed({ body, reference }: Purchase, patch: Body): Body {
    return mergePatch(body, withReference(patch, reference)) as Body;
  }

  /** A value for the header that nothing else has used. */
  key(value: string = randomUUID()): string {
    return this.profile.promises.keySyntax === 'string' ? `"${value}"` : value;
  }

  /** @throws NoAnswer */
  async send(purchase: Purchase, changes: Changes = {}): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      const sending = await this.open(purchase, changes);
      await sending.sendAll();
      const answer = await sending.answer();
      if (answer.status !== 429 || tries > 5) return answer;
      await delay(Math.min(retryAfterMs(answer) ?? 1000, MAX_WAIT_FOR_LIMIT_MS));
    }
  }

  /** A connection for one request, of which nothing is sent yet. */
  open(purchase: Purchase, changes: Changes = {}): Promise<Sending> {
    return Sending.open(this.session, ...this.prepare(purchase, changes));
  }

  /** Sends the request and expects success. @throws Failed */
  async make(purchase: Purchase, changes: Changes = {}): Promise<Answer> {
    const answer = await this.send(purchase, changes);
    const { status } = this.profile.create;
    if (answer.status !== status)
      throw new Failed(`the first request is answered ${answer.status}, not ${status}`);
    return answer;
  }

  /** Repeats the request until its answer is neither 409 nor 5xx. @throws Failed after `recoverySeconds` */
  async settle(purchase: Purchase, changes: Changes = {}): Promise<Answer> {
    const { recoverySeconds } = this.profile.timing;
    const deadline = performance.now() + recoverySeconds * 1000;
    for (;;) {
      const outcome = await this.send(purchase, changes).catch(asNoAnswer);
      const later = outcome instanceof NoAnswer || outcome.status === 409 || outcome.status >= 500;
      if (!later) return outcome;
      const pauseMs = outcome instanceof NoAnswer ? undefined : retryAfterMs(outcome);
      const waitMs = Math.min(pauseMs ?? RETRY_PAUSE_MS, MAX_RETRY_PAUSE_MS);
      if (performance.now() + waitMs > deadline) {
        const last = outcome instanceof NoAnswer ? outcome.message : `${outcome.status}`;
        throw new Failed(`after ${recoverySeconds} s of retries the key has no answer: ${last}`);
      }
      await delay(waitMs);
    }
  }

  /** Retries until the request succeeds, and expects one object then. */
  async expectRecovered(purchase: Purchase): Promise<void> {
    const { status } = await this.settle(purchase);
    if (status < 200 || status > 299) throw new Failed(`the retry is answered ${status}`);
    await this.expectMade([purchase, 1]);
  }

  /** Sends all requests in parallel: the last bytes of all are sent at the same moment. */
  race(requests: { purchase: Purchase; changes?: Changes }[]): Promise<Outcome[]> {
    return releaseTogether(
      this.session,
      requests.map(({ purchase, changes }) => {
        const [request, exchange] = this.prepare(purchase, changes);
        return { request, exchange };
      }),
    );
  }

  /** The number of sockets in a race. */
  get racers(): number {
    return Math.min(20, this.profile.limits.maxConcurrency);
  }

  /** Sends the same request several times on one connection. */
  repeatOnConnection(
    purchase: Purchase,
    times: number,
    how: 'in turn' | 'pipelined',
  ): Promise<Answer[]> {
    const requests = Array.from({ length: times }, () => {
      const [request, exchange] = this.prepare(purchase, { note: `one connection, ${how}` });
      return { request, exchange };
    });
    return onOneConnection(this.session, requests, how);
  }

  /** Counts the objects that were made. @throws Failed */
  async expectMade(...expected: Expected[]): Promise<void> {
    await this.counter.expect(...expected);
  }

  /** The id of the object that an answer shows. */
  idIn(answer: Answer): unknown {
    return atPath(answer.body, this.profile.create.id);
  }

  /** @throws Skipped if the profile does not contain the value. */
  needs<T>(value: T | undefined, what: string): T {
    if (value === undefined) throw new Skipped(`the profile gives no ${what}`);
    return value;
  }

  /** @throws Skipped */
  needsJson(): void {
    if (this.profile.create.encoding !== 'json') throw new Skipped('the bodies are not JSON');
  }

  /** A GET of the list by which objects are counted. */
  async read(account: Account, headers: Record<string, string> = {}): Promise<Answer> {
    const nothing = { key: '', reference: '', account, body: {} };
    const { path } = this.profile.count;
    return this.send(nothing, { method: 'GET', path, key: null, headers });
  }

  private async readCount(account: Account): Promise<unknown> {
    const answer = await this.read(account);
    if (answer.status !== 200)
      throw new Failed(`GET ${this.profile.count.path} is answered ${answer.status}`);
    return answer.body;
  }

  private prepare(purchase: Purchase, changes: Changes = {}): [Request, Exchange] {
    const { create, headers: always, keyHeader } = this.profile;
    const { key = purchase.key, account = purchase.account, chunked, note } = changes;
    const { method = create.method, path = create.path, body = purchase.body } = changes;
    const contentType = changes.contentType ?? MEDIA_TYPES[create.encoding];
    const hasBody = method !== 'GET';
    const headers = Object.entries({
      'User-Agent': 'idempotency-conformance',
      Accept: '*/*',
      'Accept-Encoding': 'identity', // bodies are compared as they come
      ...always,
      ...account?.headers,
      ...(hasBody && { 'Content-Type': contentType }),
      ...changes.headers,
    });
    const keys = key === null ? [] : [key].flat();
    for (const each of keys) headers.push([keyHeader, each]);
    const bytes = Buffer.isBuffer(body)
      ? body
      : Buffer.from(typeof body === 'string' ? body : encode(body, create.encoding));
    const exchange: Exchange = { method, path, headers, note };
    if (hasBody) exchange.body = bytes.toString('utf8');
    this.exchanges.push(exchange);
    return [{ method, path, headers, body: hasBody ? bytes : undefined, chunked }, exchange];
  }
}

function retryAfterMs(answer: Answer): number | undefined {
  const seconds = headerOf(answer, 'retry-after');
  return seconds !== undefined && /^\d+$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}
