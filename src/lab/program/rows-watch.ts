import type { JournalLine } from '../journal.js';
import type { Rows } from '../run.js';
import type { LabDatabase } from './lab-database.js';
import type { LiveRun } from './live-run.js';
import type { ProcessorLedger } from './processor-ledger.js';
import { readRows } from './rows.js';
import { reportUnlessAway } from './trouble.js';

/** The delay after an event that may have changed rows. A person cannot follow more frequent changes. */
const ROWS_AFTER_MS = 40;

/** How often a held lease is read again: it counts down without an event. */
const LEASE_MS = 1_000;

/** Kinds of events after which the database rows may have changed. */
const CHANGES_ROWS: ReadonlySet<JournalLine['kind']> = new Set([
  'committed',
  'answer',
  'mail',
  'job',
  'response',
  'lease',
]);

/** Reads the rows of running runs. */
export class RowsWatch {
  private readonly due = new Map<LiveRun, NodeJS.Timeout>();
  private readonly counting = new Map<LiveRun, NodeJS.Timeout>();

  constructor(
    private readonly db: LabDatabase,
    private readonly ledger: ProcessorLedger,
  ) {}

  after({ kind }: JournalLine, run: LiveRun): void {
    if (!CHANGES_ROWS.has(kind) || this.due.has(run)) return;
    const timer = setTimeout(() => {
      this.look(run)
        .catch(unread) // the next event reads them again, when the database is back
        .finally(() => this.due.delete(run));
    }, ROWS_AFTER_MS);
    this.due.set(run, timer);
  }

  async look(run: LiveRun): Promise<void> {
    for (const { track, account } of run.accounts) {
      const payments = await this.ledger.paymentsOf(account, run.began);
      const rows = await readRows(this.db, account, track, payments, run.atMs);
      run.rows(rows);
      if (isHeld(rows)) this.lookAgain(run);
    }
  }

  private lookAgain(run: LiveRun): void {
    if (this.counting.has(run) || run.run.state !== 'running') return;
    const timer = setTimeout(() => {
      this.counting.delete(run);
      this.look(run).catch(unread);
    }, LEASE_MS);
    this.counting.set(run, timer);
  }

  forget(run: LiveRun): void {
    for (const timers of [this.due, this.counting]) {
      clearTimeout(timers.get(run));
      timers.delete(run);
    }
  }
}

const unread = (error: unknown) => reportUnlessAway('the rows of a run cannot be read', error);

function isHeld({ tables }: Rows): boolean {
  const records = tables.find(({ name }) => name === 'idempotency record');
  const lease = records?.columns.indexOf('lease') ?? -1;
  return records?.rows.some((row) => / s$/.test(row[lease] ?? '')) ?? false;
}
