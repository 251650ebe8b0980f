import pg from 'pg';
import Stripe from 'stripe';
import {
  ProcessorSilent,
  type Payment,
  type Purchase,
  type Queries,
  type World,
} from './design.js';
import { schemaOf } from './gallery.js';
import { note, options, reached, trip } from './trip.js';

/**
 * Only for the card that the processor never answers; shorter than the time for which a client retries. Other calls
 * get BUSY_MS: on a busy machine they may take longer than this, and a cell must not get a second fault.
 */
const SILENT_MS = 5_000;
const BUSY_MS = 60_000;

const stripe = new Stripe('sk_test_gallery', {
  ...{ host: '127.0.0.1', port: options.sandboxPort, protocol: 'http', telemetry: false },
  ...{ timeout: BUSY_MS, maxNetworkRetries: 0 },
});

/** The database and the processor of one design. */
export function worldOf(design: string): World {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    options: `-c search_path=${schemaOf(design)}`,
    max: options.poolSize,
    application_name: schemaOf(design), // by which the experiment finds who waits for a lock
    idleTimeoutMillis: 500,
  });
  pool.on('error', () => undefined); // an idle connection that the server has ended
  return {
    db: {
      query: (sql, values) => ask(pool, sql, values),
      transaction: (work) => transaction(pool, work),
    },
    pay: (key, purchase) => pay(design, key, purchase),
  };
}

/** What an account has paid through a design, newest first: reads only the newest hundred payments of the processor. */
export async function paidBy(design: string, account: string) {
  const { data } = await stripe.paymentIntents.list({ limit: 100 });
  return data
    .filter(({ status }) => status === 'succeeded')
    .filter(({ metadata }) => metadata.design === design && metadata.account === account)
    .map(({ id, amount, description }) => ({ id, amount, description }));
}

async function transaction<Result>(
  pool: pg.Pool,
  work: (tx: Queries) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  const tx: Queries = { query: (sql, values) => ask(client, sql, values) };
  try {
    await tx.query('BEGIN');
    const result = await work(tx);
    await tx.query('COMMIT');
    return result;
  } catch (error) {
    await tx.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

async function ask<Row>(
  on: pg.Pool | pg.PoolClient,
  sql: string,
  values?: unknown[],
): Promise<Row[]> {
  const statement = sql.replaceAll(/\s+/g, ' ');
  const commits = on instanceof pg.Pool || statement === 'COMMIT';
  note({
    ...{ kind: commits ? 'commit' : 'statement', from: 'api', to: 'database' },
    text: statement.slice(0, 60),
    detail: { sql: statement, parameters: (values ?? []).map(String) },
  });
  const { rows } = await on.query(sql, values);
  return rows as Row[];
}

async function pay(design: string, key: string, purchase: Purchase): Promise<Payment> {
  const { account, amount, currency, payment_method, description } = purchase;
  await reached('before-call');
  note({
    kind: 'call',
    from: 'api',
    to: 'processor',
    text: `pay ${amount}  key ${key.slice(0, 13)}`,
  });
  const { run = '' } = trip.getStore() ?? {};
  const payment = await stripe.paymentIntents
    .create(
      {
        ...{ amount, currency, payment_method, confirm: true },
        ...(description !== undefined && { description }),
        automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
        metadata: { run, design, account },
      },
      {
        idempotencyKey: key,
        ...(payment_method === 'pm_lab_timeout' && { timeout: SILENT_MS }),
      },
    )
    .then(({ id }): Payment => ({ id }), paymentOf);
  note({
    ...{ kind: 'answer', from: 'processor', to: 'api' },
    text: payment.declined ?? 'succeeded',
  });
  await reached('after-call');
  return payment;
}

function paymentOf(error: unknown): Payment {
  if (error instanceof Stripe.errors.StripeCardError)
    return { id: error.payment_intent?.id ?? '', declined: error.decline_code ?? 'declined' };
  note({ kind: 'answer', from: 'processor', to: 'api', text: 'no answer', lost: true });
  throw new ProcessorSilent('the processor did not answer', { cause: error });
}
