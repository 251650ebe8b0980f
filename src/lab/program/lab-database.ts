import pg from 'pg';
import { addApiKey, createAccount } from '../../accounts/accounts.js';
import { Database, type Tx } from '../../idempotency/database.js';
import { randomId } from '../../http/request-id.js';

/** The program's own few connections. It reads rows, makes accounts for runs, and moves their times: nothing else. */
export class LabDatabase extends Database {
  private readonly pool: pg.Pool;

  constructor(url: string) {
    super();
    this.pool = new pg.Pool({ connectionString: url, max: 5, application_name: 'charge-once-lab' });
    this.pool.on('error', () => undefined); // the next statement connects again
  }

  override async query<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const { rows } = await this.pool.query(sql, [...values]);
    return rows as Row[];
  }

  override transaction<Result>(_work: (tx: Tx) => Promise<Result>): Promise<Result> {
    throw new Error('the lab writes one statement at a time');
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  /** An account of one run alone. Its API key names it, so that the recorder knows a request's run at once. */
  async makeAccount(name: string): Promise<{ account: string; apiKey: string }> {
    const account = randomId('acct_lab').replace('lab_', 'lab');
    await createAccount(this, name, account);
    const apiKey = await addApiKey(this, account, `sk_test_${account}_${randomId('k')}`);
    return { account, apiKey };
  }
}
