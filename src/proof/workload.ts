import { setTimeout as delay } from 'node:timers/promises';
import { send, type Answer } from './client.js';
import { markerOf } from './history.js';
import { purposeOf, SKU, STOCK, USUAL_SHARES, type Kind, type Purpose } from './purposes.js';
import type { Random } from './random.js';
import type { Recorder } from './recorder.js';
import { until } from './until.js';
import type { Account } from './world/accounts.js';
import type { World } from './world/world.js';

/** The number of keys that an account works on at a time, so that requests collide. */
const OPEN_KEYS = 3;
/** After about this many requests a key is replaced. */
const REQUESTS_A_KEY = 7;
const PREPARE_LIMIT_MS = 20_000;

/** Points at which the lab kills the API, in the header `Lab-Fault`. */
export type CrashPoint =
  `crash-${'before-reserve' | 'after-reserve' | 'after-processor' | 'after-settle'}`;

/** Clients that use few keys and few bodies. They record each request and how it ended. */
export class Workload {
  private readonly open = new Map<string, Purpose[]>();
  private readonly all: Purpose[] = [];
  private readonly charges: { id: string; account: string; ordered: boolean }[] = [];
  private counter = 0;
  /** The next request that makes a charge carries this fault. `done` is called when the API has died of it. */
  crash: { at: CrashPoint; done: () => void } | undefined;
  /** Called with the payment method when the API has answered a charge that uses it. */
  onMethod: (method: string) => void = () => undefined;

  constructor(
    private readonly world: World,
    private readonly recorder: Recorder,
    private readonly random: Random,
    private readonly shares: Record<Kind, number> = USUAL_SHARES,
  ) {
    for (const links of world.links.get('client → api') ?? [])
      links.onCopy = (bytes) => this.recordCopy(bytes.toString('latin1'));
  }

  /** Products and webhook endpoints. */
  async prepare(): Promise<void> {
    for (const account of this.world.accounts) {
      const product = JSON.stringify({ name: 'Proof', on_hand: STOCK });
      await this.untilDone(account, 'PUT', `/products/${SKU}`, product);
      const endpoint = { url: this.world.merchantUrl(account.id), events: ['*'] };
      await this.untilDone(account, 'POST', '/webhook-endpoints', JSON.stringify(endpoint));
    }
  }

  /** One client: sends until the signal. */
  async run(signal: AbortSignal, random: Random): Promise<void> {
    while (!signal.aborted) {
      const purpose = await this.choose(random);
      if (signal.aborted) return;
      const body = purpose.bodies[random.chance(0.8) ? 0 : 1];
      await this.invoke(purpose, body, random);
      if (random.chance(0.2)) await this.read(random);
      await delay(random.between(5, 120));
    }
  }

  /** Retries for each key without a final answer, until the deadline. The checker finds what is still unknown. */
  async untilKnown(deadline: number): Promise<void> {
    const unknown = new Map<string, Purpose & { body: string }>();
    const known = new Set<string>();
    const sent = new Map<number, string>();
    const purposes = new Map(this.all.map((each) => [markerOf(each.account.id, each.key), each]));
    for (const line of this.recorder.history) {
      if (line.what === 'invoke') {
        const marker = markerOf(line.account, line.key);
        const purpose = purposes.get(marker);
        sent.set(line.n, marker);
        if (purpose && !unknown.has(marker)) unknown.set(marker, { ...purpose, body: line.body });
      } else if (line.what === 'ok') known.add(sent.get(line.n) ?? '');
    }
    const left = [...unknown].filter(([marker]) => !known.has(marker)).map(([, each]) => each);
    const work = async () => {
      for (let next = left.pop(); next; next = left.pop()) {
        let outcome = 'unknown';
        while (outcome === 'unknown' && Date.now() < deadline) {
          outcome = await this.invoke(next, next.body, this.random);
          if (outcome === 'unknown') await delay(300);
        }
      }
    };
    await Promise.all(Array.from({ length: 6 }, work));
  }

  private async choose(random: Random): Promise<Purpose> {
    const account = random.pick(this.world.accounts);
    const open = this.open.get(account.id) ?? [];
    this.open.set(account.id, open);
    if (open.length < OPEN_KEYS || random.chance(1 / REQUESTS_A_KEY)) {
      // The same key names in each account: if keys were not scoped to an account, they would collide.
      const key = `k${Math.floor(this.counter++ / this.world.accounts.length)}`;
      if (!open.some((each) => each.key === key)) {
        const mine = this.charges.filter((each) => each.account === account.id && !each.ordered);
        const refundable = mine.map(({ id }) => id);
        const purpose = purposeOf(account, key, random, refundable, this.shares);
        const { order } = purpose;
        if (order) await this.send(account, 'PUT', order.path, order.content);
        if (this.all.some((each) => each.account === account && each.key === key)) return purpose;
        this.all.push(purpose);
        open.push(purpose);
        if (open.length > OPEN_KEYS) open.shift();
      }
    }
    return random.pick(open);
  }

  private async invoke(
    { account, key, path, method }: Purpose,
    body: string,
    random: Random,
  ): Promise<'ok' | 'fail' | 'unknown'> {
    const n = this.recorder.nextNumber();
    const operation = `POST ${path}`;
    const { crash } = this;
    const isCrashing = crash !== undefined && path === '/charges';
    if (isCrashing) this.crash = undefined;
    this.recorder.line({
      what: 'invoke',
      n,
      at: Date.now(),
      account: account.id,
      key,
      operation,
      body,
    });
    const headers = {
      ...headersOf(account),
      'idempotency-key': key,
      'proof-request': String(n),
      ...(isCrashing && { 'lab-fault': crash.at }),
    };
    const answer = await send(random.pick(this.world.apiPorts), 'POST', path, { headers, body });
    const what = outcomeOf(answer);
    const { status } = answer ?? {};
    const code = status !== undefined && status >= 400 ? codeIn(answer!.body) : undefined;
    this.recorder.line({ what, n, at: Date.now(), status, code, body: answer?.body });
    if (isCrashing && answer === undefined) crash.done();
    else if (isCrashing) this.crash ??= crash; // a replay, for example, does not reach that point
    if (method && answer) this.onMethod(method);
    this.remember(account, path, answer);
    return code === 'idempotency_request_in_progress' ? 'unknown' : what;
  }

  private remember(account: Account, path: string, answer: Answer | undefined): void {
    if (path !== '/charges' || answer?.status !== 201) return;
    const { id, order } = JSON.parse(answer.body) as { id: string; order: string | null };
    if (this.charges.some((each) => each.id === id)) return;
    this.charges.push({ id, account: account.id, ordered: order !== null });
  }

  /** Reads one of the last charges, sometimes as another account, which must not find it. */
  private async read(random: Random): Promise<void> {
    const recent = this.charges.slice(-20);
    if (recent.length === 0) return;
    const { id } = random.pick(recent);
    const account = random.pick(this.world.accounts);
    const at = Date.now();
    const answer = await send(random.pick(this.world.apiPorts), 'GET', `/charges/${id}`, {
      headers: headersOf(account),
    });
    if (!answer || answer.status >= 500) return;
    const state = answer.status === 200 ? stateIn(answer.body) : undefined;
    const { status } = answer;
    this.recorder.line({
      what: 'read',
      at,
      until: Date.now(),
      account: account.id,
      object: id,
      status,
      state,
    });
  }

  /** A copy that a link sends is a separate request, whose answer the driver never sees. */
  private recordCopy(text: string): void {
    const original = Number(/^proof-request: (\d+)/im.exec(text)?.[1]);
    const invoked = this.recorder.history.find(
      (line) => line.what === 'invoke' && line.n === original,
    );
    if (invoked?.what !== 'invoke') return; // a GET
    this.recorder.line({ ...invoked, n: this.recorder.nextNumber(), at: Date.now() });
  }

  private async untilDone(account: Account, method: string, path: string, body: string) {
    await until(`${method} ${path} is answered`, PREPARE_LIMIT_MS, async () => {
      const answer = await this.send(account, method, path, body);
      if (!answer || answer.status >= 500) return false;
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.body}`);
      return true;
    });
  }

  private async send(account: Account, method: string, path: string, body: string) {
    const headers = { ...headersOf(account), 'idempotency-key': `prepare-${path}` };
    return send(this.world.programs.api[0]!.port, method, path, { headers, body });
  }
}

const headersOf = ({ apiKey }: Account) => ({
  authorization: `Bearer ${apiKey}`,
  'content-type': 'application/json',
  connection: 'close',
});

/** 2xx and 402 are final. Any other 4xx refused the request and wrote nothing. Everything else is unknown. */
function outcomeOf(answer: Answer | undefined): 'ok' | 'fail' | 'unknown' {
  if (!answer || answer.status >= 500) return 'unknown';
  return answer.status < 300 || answer.status === 402 ? 'ok' : 'fail';
}

const codeIn = (body: string) => /"code":"(\w+)"/.exec(body)?.[1];
const stateIn = (body: string) => /"status":"(\w+)"/.exec(body)?.[1];
