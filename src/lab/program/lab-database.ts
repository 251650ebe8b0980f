import pg from 'pg';
import { addApiKey, createAccount } from '../../accounts/new-account.js';
import { Database, type Tx } from '../../idempotency/database.js';
import { isTransient } from '../../idempotency/errors.js';
import { randomId } from '../../http/request-id.js';
import { Away } from './trouble.js';

/** The program's own few connections, only to read rows, create accounts for runs, and move times of their rows. */
export class LabDatabase extends Database {
  private readonly pool: pg.Pool;

  constructor(url: string) {
    super();
    this.pool = new pg.Pool({ connectionString: url, max: 5, application_name: 'charge-once-lab' });
    this.pool.on('error', () => undefined); // the next statement connects again
  }

  /** @throws Away */
  override async query<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      const { rows } = await this.pool.query(sql, [...values]);
      return rows as Row[];
    } catch (error) {
      throw isTransient(error) ? new Away('PostgreSQL does not answer', { cause: error }) : error;
    }
  }

  override transaction<Result>(_work: (tx: Tx) => Promise<Result>): Promise<Result> {
    throw new Error('the lab writes one statement at a time');
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  /** Creates an account for one run. Its API key contains its id, so the recorder needs no query to know the run. */
  async makeAccount(name: string): Promise<{ account: string; apiKey: string }> {
    const account = randomId('acct_lab').replace('lab_', 'lab');
    await createAccount(this, name, account);
    const apiKey = await addApiKey(this, account, `sk_test_${account}_${randomId('k')}`);
    return { account, apiKey };
  }

  /** Moves the stored answers of one account into the past, so that they expire in `seconds`. */
  async letExpireIn(account: string, seconds: number): Promise<void> {
    await this.query(
      `UPDATE idempotency_records
       SET first_seen_at = first_seen_at - moved.by, completed_at = completed_at - moved.by, expires_at = expires_at - moved.by
       FROM (SELECT key, expires_at - clock_timestamp() - $2 * interval '1 second' AS by
             FROM idempotency_records WHERE account_id = $1) AS moved
       WHERE account_id = $1 AND idempotency_records.key = moved.key AND completed_at IS NOT NULL`,
      [account, seconds],
    );
  }

  /** Ends the lease of a dead worker: the lock of its job, and its right to send a message. */
  async letWorkersLeasesRunOut(account: string): Promise<void> {
    await this.query(
      `UPDATE sent_emails SET lease_expires_at = now() WHERE account_id = $1 AND sent_at IS NULL`,
      [account],
    );
    await this.query(
      `UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 day', run_at = now()
       WHERE payload->>'account' = $1 AND locked_at IS NOT NULL`,
      [account],
    );
  }
}
