import { setTimeout as delay } from 'node:timers/promises';
import { readProcessorList } from '../../local/processor-list.js';
import { Away } from './trouble.js';

/** A sandbox that was killed is back within a second or two; on a busy machine it takes longer. */
const PATIENCE_MS = 10_000;
const ASK_AGAIN_MS = 200;

/** A payment as the processor has it: what a customer really paid. */
export interface LedgerPayment {
  id: string;
  amount: number;
  status: string;
  created: number;
  metadata: Record<string, string>;
}

interface LedgerEvent {
  id: string;
  data: { object: { metadata?: Record<string, string> } };
}

interface Page {
  data: LedgerPayment[];
  has_more: boolean;
}

/** The processor's own ledger, read by Stripe's protocol. The verdict of every run comes from here. */
export class ProcessorLedger {
  constructor(private readonly url: string) {}

  /** All payment intents created since `since`, newest first, including those that took no money. */
  async payments(since: Date): Promise<LedgerPayment[]> {
    const created = Math.floor(since.getTime() / 1000) - 1;
    const page = (path: string) => this.ask<Page>('GET', path);
    return readProcessorList(page, 'payment_intents', `&created[gte]=${created}`);
  }

  /** The payment intents of one account, oldest first. */
  async paymentsOf(account: string, since: Date): Promise<LedgerPayment[]> {
    const payments = await this.payments(since);
    return payments.filter(({ metadata }) => metadata.account === account).reverse();
  }

  /**
   * Sends the notification of the account's payment now, as `stripe events resend` does.
   * @returns false if there is no payment yet.
   */
  async notify(account: string): Promise<boolean> {
    const { data } = await this.ask<{ data: LedgerEvent[] }>(
      'GET',
      '/v1/events?limit=100&type=payment_intent.succeeded',
    );
    const event = data.find((each) => each.data.object.metadata?.account === account);
    if (!event) return false;
    await this.ask('POST', `/v1/events/${event.id}/retry`);
    return true;
  }

  /** Retries for PATIENCE_MS while the processor is unreachable. No request here takes money. @throws Away */
  private async ask<Answer>(method: string, path: string): Promise<Answer> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await this.askOnce<Answer>(method, path);
      } catch (error) {
        if (!(error instanceof Away) || Date.now() > end) throw error;
        await delay(ASK_AGAIN_MS);
      }
    }
  }

  private async askOnce<Answer>(method: string, path: string): Promise<Answer> {
    try {
      const response = await fetch(`${this.url}${path}`, {
        method,
        headers: { authorization: 'Bearer sk_test_lab' },
        signal: AbortSignal.timeout(5_000),
      });
      if (response.status >= 500) throw new Away(`the processor answers ${response.status}`);
      if (!response.ok) throw new Error(`the processor answered ${response.status}`);
      return (await response.json()) as Answer;
    } catch (error) {
      // `fetch` reports a broken connection as a TypeError, and one that takes too long as a TimeoutError.
      const isAway = error instanceof TypeError || (error as Error).name === 'TimeoutError';
      throw isAway ? new Away('the processor does not answer', { cause: error }) : error;
    }
  }

  async succeededOf(account: string, since: Date): Promise<LedgerPayment[]> {
    const payments = await this.paymentsOf(account, since);
    return payments.filter(({ status }) => status === 'succeeded');
  }
}
