/** A payment as the processor has it: what a customer really paid. */
export interface LedgerPayment {
  id: string;
  amount: number;
  status: string;
  created: number;
  metadata: Record<string, string>;
}

interface Page {
  data: LedgerPayment[];
  has_more: boolean;
}

/** The processor's own ledger, read as Stripe has it. The verdict of every run comes from here. */
export class ProcessorLedger {
  constructor(private readonly url: string) {}

  /** Payments of one account since then, oldest first; also those that took nothing. */
  async paymentsOf(account: string, since: Date): Promise<LedgerPayment[]> {
    const found: LedgerPayment[] = [];
    const created = Math.floor(since.getTime() / 1000) - 1;
    let after = '';
    for (;;) {
      const query = `limit=100&created[gte]=${created}${after}`;
      const response = await fetch(`${this.url}/v1/payment_intents?${query}`, {
        headers: { authorization: 'Bearer sk_test_lab' },
        signal: AbortSignal.timeout(5_000),
      });
      if (!response.ok) throw new Error(`the processor's ledger answered ${response.status}`);
      const { data, has_more } = (await response.json()) as Page;
      found.push(...data.filter(({ metadata }) => metadata.account === account));
      if (!has_more) return found.reverse();
      after = `&starting_after=${data.at(-1)?.id}`;
    }
  }

  async succeededOf(account: string, since: Date): Promise<LedgerPayment[]> {
    const payments = await this.paymentsOf(account, since);
    return payments.filter(({ status }) => status === 'succeeded');
  }
}

export function money(minor: number): string {
  return `$${(minor / 100).toFixed(2)}`;
}
