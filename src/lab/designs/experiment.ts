import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Knowledge, Run, RunEvent } from '../run.js';
import { exchange, type Outcome } from './exchange.js';
import type { HostEvent } from './host.messages.js';
import type { Hosts } from './hosts.js';

export interface Sending {
  body: string;
  account?: string;
  /** The number of the purchase. Each has its own key. */
  purchase?: number;
  fault?: string;
}

export interface Ledger {
  /** Payments that succeeded. */
  succeeded: number;
  /** All payments, including declined ones. */
  attempts: number;
  succeededBy: (account: string) => number;
}

/** On a busy machine a request takes seconds. It must not time out before its fault has happened. */
const BUSY_TIMEOUT_MS = 60_000;
/** How long a client retries a purchase. Longer than every lease in the gallery. */
const PATIENCE_MS = 14_000;
const RETRY_PAUSE_MS = 500;
/** The timeout of a retry, which may wait for the lock of a frozen process. Longer than the processor's timeout. */
const RETRY_TIMEOUT_MS = 8_000;
const LOOK_AGAIN_MS = 50;

/** One cell of the matrix: a client with one key, one design, and one fault. */
export class Experiment {
  readonly run = randomBytes(6).toString('hex');
  private readonly key = randomUUID();
  private readonly beganAt = Date.now();
  private readonly events: HostEvent[] = [];
  private readonly knowledge: Knowledge[] = [];
  private attempts = 0;
  /** Why the fault did not happen. If set, there is no verdict. */
  missed: string | undefined;

  constructor(
    private readonly design: string,
    private readonly hosts: Hosts,
  ) {}

  /** Sends the purchase once. */
  send(sending: Sending, timeoutMs = BUSY_TIMEOUT_MS): Promise<Outcome> {
    return this.sendTo(this.hosts.portOf('steady'), sending, timeoutMs);
  }

  /** Retries it, with pauses, until there is a final answer or `PATIENCE_MS` is over. */
  async retry(sending: Sending): Promise<Outcome> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      if (this.attempts > 0) await delay(RETRY_PAUSE_MS);
      const outcome = await this.send(sending, RETRY_TIMEOUT_MS);
      if (this.isFinal(outcome) || Date.now() > end) return outcome;
    }
  }

  /** Whether the outcome is a success, a decline or a refusal. */
  isFinal({ status }: Outcome): boolean {
    return status > 0 && status < 500 && status !== 409;
  }

  /** Sends it twice in parallel. Both run before either calls the processor, unless the design prevents that. */
  async sendTwice(sending: Sending): Promise<void> {
    const host = this.hosts.named('steady');
    const held = { ...sending, fault: 'hold-before-call' };
    const both = [this.send(held), this.send(held)];
    const ids = [1, 2].map((attempt) => `${this.run}.${attempt}`);
    let areThere = false;
    const there = Promise.all(ids.map((id, i) => this.hosts.untilHeld(id, both[i]!)));
    void there.then(() => (areThere = true));
    // A request that waits for the other's lock does not reach the point.
    while (!areThere && (await this.hosts.connectionsOf(this.design)).waiting === 0)
      await delay(LOOK_AGAIN_MS);
    let areOver = false;
    const over = Promise.all(both).then(() => void (areOver = true));
    while (!areOver) {
      for (const id of ids) this.hosts.release(host, id); // repeated: a request that got the lock later arrives later
      await Promise.race([over, delay(LOOK_AGAIN_MS)]);
    }
  }

  /** Sends it to a process that dies at that point. */
  async sendAndKill(point: 'before-call' | 'after-call', { body }: Sending): Promise<void> {
    const host = this.hosts.named(point);
    const sent = this.sendTo(host.port, { body, fault: `hold-${point}` });
    const isHeld = await this.hosts.untilHeld(`${this.run}.1`, sent);
    await this.hosts.killTogether(host);
    this.note({ kind: 'killed', from: 'api', to: 'api', text: `killed ${point}`, pid: host.pid });
    await sent;
    await this.expectPayments(point === 'after-call' ? 1 : 0, isHeld);
  }

  /** The ledger shows whether the fault happened at its point: a kill that came too early proves nothing. */
  private async expectPayments(count: number, isHeld: boolean): Promise<void> {
    const { attempts } = await this.ledger();
    if (isHeld && attempts === count) return;
    this.missed = `The fault did not happen: ${attempts} payments at its point, not ${count}. Is the machine busy?`;
  }

  /**
   * Sends it to a process that is frozen at that point. @returns a function that resumes the process and waits for its
   * answer.
   */
  async sendAndFreeze(point: 'before-call', { body }: Sending): Promise<() => Promise<void>> {
    const host = this.hosts.named('sleeper');
    const sent = this.sendTo(host.port, { body, fault: `hold-${point}` });
    const id = `${this.run}.1`;
    const isHeld = await this.hosts.untilHeld(id, sent);
    await this.hosts.freezeTogether(host);
    await this.expectPayments(0, isHeld);
    this.note({ kind: 'frozen', from: 'api', to: 'api', text: 'asleep', pid: host.pid });
    return async () => {
      await this.hosts.wakeTogether(host, id);
      this.note({ kind: 'resumed', from: 'api', to: 'api', text: 'awake', pid: host.pid });
      await sent;
    };
  }

  /** Sends `count` purchases that wait before their call. @returns whether a read is answered meanwhile. */
  async isServedDuring(count: number, { body }: Sending): Promise<boolean> {
    const host = this.hosts.named('slow');
    const charges = Array.from({ length: count }, (_, purchase) => {
      const id = `${this.run}.${this.attempts + 1}`;
      const sent = this.sendTo(host.port, { body, purchase, fault: 'hold-before-call' });
      return { id, sent, held: this.hosts.untilHeld(id, sent) };
    });
    await Promise.all(charges.map(({ held }) => held));
    let status: number | undefined;
    const read = exchange({
      ...{ port: host.port, path: `/designs/${this.design}/count` },
      ...{ method: 'GET', timeoutMs: BUSY_TIMEOUT_MS },
    }).then((outcome) => void (status = outcome.status));
    // No timeout decides: the read waits forever if each charge holds a connection with an open transaction.
    while (status === undefined && (await this.hosts.connectionsOf(this.design)).open < count)
      await delay(LOOK_AGAIN_MS);
    const isServed = status === 200;
    // One by one: on a busy machine ten parallel calls take longer than their timeout.
    for (const { id, sent } of charges) {
      this.hosts.release(host, id);
      await sent;
    }
    await read;
    return isServed;
  }

  async ledger(): Promise<Ledger> {
    const payments = await this.hosts.paymentsOf(this.run);
    const succeeded = payments.filter(({ status }) => status === 'succeeded');
    return {
      succeeded: succeeded.length,
      attempts: payments.length,
      succeededBy: (account) =>
        succeeded.filter(({ metadata }) => metadata.account === account).length,
    };
  }

  private async sendTo(
    port: number,
    { body, account = 'first', purchase = 0, fault = '' }: Sending,
    timeoutMs = BUSY_TIMEOUT_MS,
  ): Promise<Outcome> {
    const attempt = ++this.attempts;
    const path = `/designs/${this.design}/charges`;
    const headers = {
      'Content-Type': 'application/json',
      Authorization: `Bearer ${account}`,
      'Idempotency-Key': `${this.key}-${purchase}`,
      'Lab-Run': `${this.run}.${attempt}`,
      ...(fault && { 'Lab-Fault': fault }),
    };
    const bytes = [
      `POST ${path}`,
      ...Object.entries(headers).map((each) => each.join(': ')),
      '',
      body,
    ].join('\n');
    this.note({
      kind: 'request',
      from: 'client',
      to: 'api',
      text: `POST /charges  key ${this.key.slice(0, 8)}-${purchase}`,
      attempt,
      detail: { bytes },
    });
    const outcome = await exchange({ port, path, method: 'POST', headers, body, timeoutMs });
    this.knowledge.push({
      ...{ atMs: Date.now() - this.beganAt, track: 'keyed', attempt },
      state: !outcome.status ? 'unknown' : outcome.status < 300 ? 'ok' : 'failed',
      text: outcome.status ? String(outcome.status) : 'no answer',
    });
    return outcome;
  }

  private note(event: Omit<HostEvent, 'run' | 'attempt' | 'at'> & { attempt?: number }): void {
    this.events.push({ run: this.run, attempt: this.attempts, at: Date.now(), ...event });
  }

  /** What happened, for the diagram. */
  asRun(title: string, verdict: Run['verdict'], journal: readonly HostEvent[]): Run {
    const events = [...this.events, ...journal.filter(({ run }) => run === this.run)]
      .sort((one, other) => one.at - other.at)
      .map(({ at, run: _, ...event }, i): RunEvent => {
        return { ...event, seq: i + 1, atMs: at - this.beganAt, track: 'keyed' };
      });
    return {
      ...{ id: this.run, scenario: 'gallery', title, parameters: { design: this.design } },
      ...{ startedAt: new Date(this.beganAt).toISOString(), state: 'ended', events, rows: [] },
      ...{ knowledge: this.knowledge, verdict },
    };
  }
}
