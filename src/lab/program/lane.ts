import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ArmedFaults } from '../service/armed-faults.js';
import type { Track } from '../run.js';
import type { Exchange } from './client.js';
import { knowledgeOf, retryAfterMs } from './knowledge.js';
import type { LabDatabase } from './lab-database.js';
import type { TrackAccount } from './live-run.js';
import type { LedgerPayment, ProcessorLedger } from './processor-ledger.js';
import { Sender, type Sending, type SenderTools } from './sender.js';
import { Away } from './trouble.js';

export interface LaneTools extends SenderTools {
  db: LabDatabase;
  ledger: ProcessorLedger;
  armed: ArmedFaults;
}

/** How long the service may take to finish what it has begun, in ms. */
const SETTLED_MS = 30_000;

const PURCHASE = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

/** One way of charging: a client with its own account. */
export class Lane {
  readonly amountMinor = PURCHASE.amount;
  private readonly sender: Sender;

  constructor(
    readonly own: TrackAccount,
    readonly tools: LaneTools,
  ) {
    this.sender = new Sender(own, tools);
  }

  get track(): Track {
    return this.own.track;
  }

  get account(): string {
    return this.own.account;
  }

  newKey(): string {
    return randomUUID();
  }

  /** A purchase in the way of this lane: the naive one sends no key. */
  buy(key: string, sending: Sending = {}, purchase: object = {}): Promise<Exchange> {
    const body = { ...PURCHASE, ...purchase };
    if (this.track === 'naive') return this.post('/lab/naive/charges', body, sending);
    return this.post('/charges', body, { ...sending, key });
  }

  /** Repeats the same request, as each problem advises, until the client knows the result. */
  async buyUntilKnown(
    key: string,
    first: Sending = {},
    purchase: object = {},
    attempts = 12,
  ): Promise<Exchange> {
    let result = await this.buy(key, first, purchase);
    for (let i = 1; i < attempts && knowledgeOf(result).state === 'unknown'; i++) {
      await this.pause(Math.min(retryAfterMs(result), 5_000));
      result = await this.buy(key, {}, purchase);
    }
    return result;
  }

  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.tools.run.stopping.signal });
  }

  post(path: string, body: object, sending: Sending = {}): Promise<Exchange> {
    return this.sender.send('POST', path, JSON.stringify(body), sending);
  }

  put(path: string, body: object, sending: Sending = {}): Promise<Exchange> {
    return this.sender.send('PUT', path, JSON.stringify(body), sending);
  }

  get(path: string): Promise<Exchange> {
    return this.sender.send('GET', path, undefined, {});
  }

  /** What the customer paid, according to the processor's ledger. */
  paid(): Promise<LedgerPayment[]> {
    return this.tools.ledger.succeededOf(this.account, this.tools.run.began);
  }

  /** How an exchange ended, as one bar of a histogram. */
  static answerOf(result: Exchange): string {
    return knowledgeOf(result).text;
  }

  note(text: string): void {
    this.tools.journal.write({ kind: 'note', text }, { account: this.account });
  }

  /** Prepares a fault for the next request or e-mail of this account, from any client. */
  arm(where: 'api' | 'mail', fault: string): void {
    this.tools.armed.arm(this.account, where, fault);
  }

  /** The processor's notification about the payment of this account, now and several times. */
  async notify(copies: number): Promise<void> {
    const received = () =>
      this.tools.run.run.events.filter(({ kind }) => kind === 'notification').length;
    for (let i = 0; i < copies; i++) {
      const before = received();
      // An API that is still starting misses it, and the processor would not repeat it for a long time.
      await this.until(async () => {
        await this.tools.ledger.notify(this.account);
        await this.pause(300);
        return received() > before;
      });
    }
  }

  async letExpireIn(seconds: number): Promise<void> {
    await this.tools.db.letExpireIn(this.account, seconds);
    this.note(seconds > 0 ? `7 days less ${seconds} s have passed` : '7 days have passed');
  }

  async letWorkersLeasesRunOut(): Promise<void> {
    await this.tools.db.letWorkersLeasesRunOut(this.account);
    this.note('the time of the dead worker is over: 30 s have passed');
  }

  /** Polls until the condition holds, but not forever: a run must end even if the service never finishes. */
  async until(
    holds: () => Promise<boolean>,
    withinMs = SETTLED_MS,
    stopping = this.tools.run.stopping.signal,
  ): Promise<boolean> {
    const end = Date.now() + withinMs;
    while (!(await holds().catch(notYet))) {
      if (Date.now() > end) return false;
      await delay(50, undefined, { signal: stopping });
    }
    return true;
  }

  /** Until no charge is pending, all events are relayed, and no job is left. Receipts are then sent. */
  settled(withinMs?: number, stopping?: AbortSignal): Promise<boolean> {
    return this.until(
      async () => {
        const [row] = await this.tools.db.query<{ open: boolean }>(
          `SELECT EXISTS (SELECT FROM charges WHERE account_id = $1 AND status = 'pending')
           OR EXISTS (SELECT FROM events WHERE account_id = $1 AND relayed_at IS NULL)
           OR EXISTS (SELECT FROM graphile_worker._private_jobs WHERE payload->>'account' = $1) AS open`,
          [this.account],
        );
        return !row?.open;
      },
      withinMs,
      stopping,
    );
  }
}

/** While PostgreSQL restarts, the condition counts as not yet true. */
function notYet(error: unknown): false {
  if (error instanceof Away) return false;
  throw error;
}
