import type { Paid } from './storm-example.js';
import type { LiveRun } from './live-run.js';
import type { LedgerPayment, ProcessorLedger } from './processor-ledger.js';
import { reportUnlessAway } from './trouble.js';

/** Counts the processor's payments of each track, in the background: they are shown beside what clients believe. */
export class PaymentTally {
  private counts = { ours: 0, naive: 0 };
  private readonly timer: NodeJS.Timeout;
  private reading: Promise<void> | undefined;

  constructor(
    private readonly ledger: ProcessorLedger,
    private readonly run: LiveRun,
  ) {
    this.timer = setInterval(() => {
      // The processor may be busy or down: the next call reads more.
      this.reading ??= this.read()
        .catch((error: unknown) =>
          reportUnlessAway('the payments of a storm cannot be counted', error),
        )
        .finally(() => (this.reading = undefined));
    }, 250);
    this.timer.unref();
  }

  now(): { ours: number; naive: number } {
    return this.counts;
  }

  async atEnd(): Promise<{ ours: number; naive: number }> {
    await this.read();
    return this.counts;
  }

  /** Whether each of our charges has at most one payment. */
  async isOncePerCharge(): Promise<boolean> {
    const paid = await this.paidOf('keyed');
    return new Set(paid.map(({ metadata }) => metadata.charge)).size === paid.length;
  }

  /** The succeeded payments in the ledger, by track. */
  async paid(): Promise<Paid> {
    const [keyed, naive] = await Promise.all([this.paidOf('keyed'), this.paidOf('naive')]);
    const named = ({ id, metadata }: LedgerPayment) => ({
      id,
      charge: metadata.charge ?? metadata.naive_charge ?? id,
    });
    return { keyed: keyed.map(named), naive: naive.map(named) };
  }

  private async read(): Promise<void> {
    const [ours, naive] = await Promise.all([this.paidOf('keyed'), this.paidOf('naive')]);
    this.counts = { ours: ours.length, naive: naive.length };
  }

  private paidOf(track: 'keyed' | 'naive') {
    return this.ledger.succeededOf(this.run.accountOf(track)!.account, this.run.began);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
