import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Listening } from './listening.js';
import {
  canonical,
  isValid,
  json,
  parsed,
  problem,
  stack,
  type StoredAnswer,
} from './small-answers.js';

/** What a server does wrong. Each test server has one of these bugs. */
export type Bug =
  | 'ignores the key'
  | 'key without account'
  | 'answers another operation'
  | 'stores validation errors'
  | 'ignores the body'
  | 'compares bytes'
  | 'looks, works, then writes'
  | 'writes the record after the answer'
  | 'a hang-up leaves the key in progress'
  | 'writes the answer again for a replay'
  | 'forgets all but the last ten keys'
  | 'lower-cases keys'
  | 'cuts keys'
  | 'takes an empty key'
  | 'joins two keys'
  | 'answers before it knows the caller'
  | 'shows the first body in a refusal'
  | 'shows its stack'
  | 'does the work again after a failure'
  | 'stores a failure'
  | 'a replay extends the key'
  | 'dies of a number';

interface Asked {
  path: string;
  fingerprint: string;
  /** The body, unchanged. */
  text: string;
}

interface KeyRecord extends Asked {
  answer: Promise<StoredAnswer>;
  /** Measured by this process's clock. */
  expiresAt: number;
}

const ACCOUNTS: Record<string, string> = {
  'Bearer secret-of-one': 'one',
  'Bearer secret-of-two': 'two',
};
const MAX_KEY = 64;

/** A correct API for things in about a hundred lines, in memory, with at most one bug. */
export class SmallServer extends Listening {
  private readonly records = new Map<string, KeyRecord>();
  private readonly things = new Map<string, object[]>();
  /** The answers of work whose request failed afterwards, by scope. */
  private readonly brokenOff = new Map<string, StoredAnswer>();
  protected readonly server = createServer((request, response) => {
    this.handle(request, response).catch(() => response.destroy());
  });

  private constructor(
    private readonly bug: Bug | undefined,
    private readonly lifeMs: number,
  ) {
    super();
  }

  static start(bug?: Bug, lifeMs = Infinity): Promise<SmallServer> {
    return new SmallServer(bug, lifeMs).listen();
  }

  private has(bug: Bug): boolean {
    return this.bug === bug;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await buffer(request);
    const account = ACCOUNTS[request.headers.authorization ?? ''];
    const send = (answer: StoredAnswer, headers = {}) => {
      response.writeHead(answer.status, { 'content-type': answer.type, ...headers });
      response.end(answer.text);
    };
    if (account === undefined) {
      const early = this.has('answers before it knows the caller') && this.stored(request, 'one');
      return send(early ? await early.answer : problem(401, 'unauthorized'));
    }
    const path = request.url ?? '';
    if (request.method === 'GET' && path === '/things')
      return send(json(200, { data: [...(this.things.get(account) ?? [])].reverse() }));
    if (!/^\/(?:things|others)(?:\?|$)/.test(path)) return send(problem(404, 'not found'));
    if (request.method !== 'POST') return send(problem(405, 'method not allowed'));
    const lost = request.headers['x-lose-answer'] === '1';
    const { answer, replayed } = await this.post(request, response, account, path, bytes);
    if (lost) response.destroy();
    else send(answer, replayed ? { 'idempotent-replayed': 'true' } : {});
  }

  private keyOf(request: IncomingMessage): string | undefined {
    const lines = request.headersDistinct['idempotency-key'] ?? [];
    const key = lines.join(', ');
    if (lines.length > 1) return this.has('joins two keys') ? key : undefined;
    if (key === '') return this.has('takes an empty key') && lines.length === 1 ? '' : undefined;
    if (this.has('cuts keys')) return key.slice(0, MAX_KEY);
    if (key.length > MAX_KEY || !/^[\x21-\x7e]+$/.test(key)) return undefined;
    return this.has('lower-cases keys') ? key.toLowerCase() : key;
  }

  private scope(account: string, path: string, key: string): string {
    const [operation = ''] = this.has('answers another operation') ? [] : path.split('?');
    return [this.has('key without account') ? '' : account, operation, key].join('\0');
  }

  private stored(request: IncomingMessage, account: string): KeyRecord | undefined {
    const key = this.keyOf(request);
    const path = request.url ?? '';
    return key === undefined ? undefined : this.records.get(this.scope(account, path, key));
  }

  private async post(
    request: IncomingMessage,
    response: ServerResponse,
    account: string,
    path: string,
    bytes: Buffer,
  ): Promise<{ answer: StoredAnswer; replayed?: boolean }> {
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
      return { answer: problem(415, 'not JSON') };
    const text = bytes.toString();
    if (this.has('dies of a number') && /^\d+$/.test(text)) await this.stop();
    const body = parsed(text);
    if (!body) return { answer: problem(400, this.has('shows its stack') ? stack() : 'not JSON') };
    if (this.has('ignores the key')) return { answer: await this.work(account, path, body) };
    const key = this.keyOf(request);
    if (key === undefined) return { answer: problem(400, 'Idempotency-Key is missing or invalid') };
    const asked = { path, fingerprint: this.fingerprintOf(path, body, text), text };
    const scope = this.scope(account, path, key);
    const found = this.records.get(scope);
    if (found && found.expiresAt > performance.now()) return this.repeated(found, asked);
    if (!isValid(body) && !this.has('stores validation errors'))
      return { answer: problem(400, 'amount is not positive') };
    const work = () => this.work(account, path, body);
    if (body.card === 'breaks') return { answer: await this.breakOff(scope, asked, work) };
    return { answer: await this.first(scope, asked, response, work) };
  }

  private async repeated(found: KeyRecord, asked: Asked) {
    const elsewhere = this.has('answers another operation') && found.path !== asked.path;
    if (found.fingerprint !== asked.fingerprint && !elsewhere) {
      const shown = this.has('shows the first body in a refusal') ? found.text : '';
      return { answer: problem(422, `the key was used for another request ${shown}`) };
    }
    if (this.has('a replay extends the key')) found.expiresAt = performance.now() + this.lifeMs;
    const late = this.has('a hang-up leaves the key in progress') ? 300 : 2 ** 30;
    const waiting = new AbortController();
    const answer = await Promise.race([
      found.answer,
      delay(late, problem(409, 'in progress'), { signal: waiting.signal }),
    ]);
    waiting.abort();
    if (!this.has('writes the answer again for a replay')) return { answer, replayed: true };
    const members = Object.entries(JSON.parse(answer.text) as object).reverse();
    return { answer: json(answer.status, Object.fromEntries(members)), replayed: true };
  }

  /** The first attempt does the work and fails; the next one finds it done. */
  private async breakOff(
    scope: string,
    asked: Asked,
    work: () => Promise<StoredAnswer>,
  ): Promise<StoredAnswer> {
    const done = this.brokenOff.get(scope);
    const isDone = done && !this.has('does the work again after a failure');
    const answer = isDone ? done : await work();
    this.brokenOff.set(scope, answer);
    const shown = done ? answer : problem(500, 'broken off');
    if (done || this.has('stores a failure'))
      this.records.set(scope, { ...asked, answer: Promise.resolve(shown), expiresAt: Infinity });
    return shown;
  }

  private async first(
    scope: string,
    asked: Asked,
    response: ServerResponse,
    work: () => Promise<StoredAnswer>,
  ): Promise<StoredAnswer> {
    const write = (answer: Promise<StoredAnswer>) => {
      this.records.set(scope, { ...asked, answer, expiresAt: performance.now() + this.lifeMs });
      if (this.has('forgets all but the last ten keys') && this.records.size > 10)
        this.records.delete(this.records.keys().next().value!);
    };
    if (this.has('looks, works, then writes')) {
      const answer = await work();
      write(Promise.resolve(answer));
      return answer;
    }
    if (this.has('writes the record after the answer')) {
      const answer = await work();
      response.once('finish', () => write(Promise.resolve(answer)));
      return answer;
    }
    const answer = this.has('a hang-up leaves the key in progress')
      ? unlessClosed(response, work)
      : work();
    write(answer);
    return answer;
  }

  private fingerprintOf(path: string, body: Record<string, unknown>, text: string): string {
    if (this.has('ignores the body')) return '';
    if (this.has('compares bytes')) return path + text;
    const hash = createHash('sha256').update(canonical(body));
    return `${path} ${hash.digest('hex')}`;
  }

  private async work(
    account: string,
    path: string,
    body: Record<string, unknown>,
  ): Promise<StoredAnswer> {
    await delay(body.card === 'slow' ? 2_500 : 15);
    if (!isValid(body)) return problem(400, 'amount is not positive');
    if (body.card === 'declined') return problem(402, 'declined');
    const thing = { id: randomUUID(), ...body };
    const kind = path.startsWith('/things') ? account : `${account} others`;
    this.things.set(kind, [...(this.things.get(kind) ?? []), thing]);
    return json(201, thing);
  }
}

/** If the client closes, the work is canceled, and duplicates that wait for it wait forever. */
async function unlessClosed(response: ServerResponse, work: () => Promise<StoredAnswer>) {
  await delay(25);
  return response.destroyed || response.socket?.readableEnded
    ? new Promise<StoredAnswer>(() => undefined)
    : work();
}
