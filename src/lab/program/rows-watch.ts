import type { JournalLine } from '../journal.js';
import type { LabDatabase } from './lab-database.js';
import type { LiveRun } from './live-run.js';
import type { ProcessorLedger } from './processor-ledger.js';
import { readRows } from './rows.js';

/** After an event that may have changed rows; shorter reads them more often than a person can look. */
const ROWS_AFTER_MS = 40;

/** After these, other rows may be there. */
const CHANGES_ROWS: ReadonlySet<JournalLine['kind']> = new Set([
  'committed',
  'answer',
  'mail',
  'job',
  'response',
  'lease',
]);

/** Looks at the rows of runs while these go on. */
export class RowsWatch {
  private readonly due = new Map<LiveRun, NodeJS.Timeout>();

  constructor(
    private readonly db: LabDatabase,
    private readonly ledger: ProcessorLedger,
  ) {}

  after({ kind }: JournalLine, run: LiveRun): void {
    if (!CHANGES_ROWS.has(kind) || this.due.has(run)) return;
    const timer = setTimeout(() => {
      this.look(run)
        .catch(() => undefined) // the database is away; the next event comes when it is back
        .finally(() => this.due.delete(run));
    }, ROWS_AFTER_MS);
    this.due.set(run, timer);
  }

  async look(run: LiveRun): Promise<void> {
    for (const { track, account } of run.accounts) {
      const payments = await this.ledger.paymentsOf(account, run.began);
      run.rows(await readRows(this.db, account, track, payments, run.atMs));
    }
  }

  forget(run: LiveRun): void {
    clearTimeout(this.due.get(run));
    this.due.delete(run);
  }
}
