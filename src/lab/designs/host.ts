import { AsyncLocalStorage } from 'node:async_hooks';
import { openSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import Stripe from 'stripe';
import {
  ProcessorSilent,
  type Design,
  type Payment,
  type Purchase,
  type Queries,
  type Reply,
  type World,
} from './design.js';
import { GALLERY, schemaOf } from './gallery.js';
import type { HostEvent, HostMessage, HostOptions } from './host.messages.js';

// A process that serves every design of the gallery, and that can be killed or frozen at a point of a request. It
// writes a line to a journal before each step, so the journal is complete after a SIGKILL.

/** Longer than the slow card of the sandbox (3 s); shorter than the patience of the client. */
const PROCESSOR_TIMEOUT_MS = 5_000;

const options = JSON.parse(process.argv[2] ?? '{}') as HostOptions;
const journal = openSync(options.journal, 'a');
const worlds = new Map(Object.entries(GALLERY).map(([id]) => [id, worldOf(id)]));
/** Requests that wait at a point, by run and attempt. */
const held = new Map<string, () => void>();

interface Trip {
  run: string;
  attempt: number;
  /** Where this request waits until the experiment releases it. */
  holdAt: string | undefined;
}
const trip = new AsyncLocalStorage<Trip>();

process.on('message', ({ go }: { go: string }) => held.get(go)?.());
process.on('disconnect', () => process.exit());

const server = createServer((request, response) => {
  const header = (name: string) => String(request.headers[name] ?? '');
  const [run = '', attempt] = header('lab-run').split('.');
  const hold = /^hold-(.+)$/.exec(header('lab-fault'))?.[1];
  trip.run({ run, attempt: Number(attempt), holdAt: hold }, () => {
    serve(request, response, header).catch(() => response.destroy());
  });
});
server.listen(0, '127.0.0.1', () => {
  send({ port: (server.address() as AddressInfo).port });
});

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  header: (name: string) => string,
): Promise<void> {
  const [, , design = '', action] = (request.url ?? '').split('/');
  const world = worlds.get(design);
  if (!world) return void response.writeHead(404).end();
  if (action === 'count') {
    // What most pages of a shop do: one read.
    await world.db.query('SELECT 1');
    return void response.writeHead(200).end();
  }
  const body = await text(request);
  const purchase: Purchase = {
    account: header('authorization').replace('Bearer ', ''),
    key: header('idempotency-key'),
    text: body,
    ...(JSON.parse(body) as Pick<Purchase, 'amount' | 'currency' | 'payment_method'>),
  };
  const reply = await charge(GALLERY[design]!, purchase, world);
  const isLost = header('lab-fault') === 'lose-response';
  note({ kind: 'response', from: 'api', to: 'client', text: String(reply.status), lost: isLost });
  if (isLost) request.socket.destroy();
  else response.writeHead(reply.status, { 'Content-Type': 'application/json' }).end(reply.body);
  await reply.afterwards?.();
}

async function charge(design: Design, purchase: Purchase, world: World): Promise<Reply> {
  try {
    return await design.charge(purchase, world);
  } catch (error) {
    const code = error instanceof ProcessorSilent ? 'processor_silent' : 'internal_error';
    return { status: 500, body: JSON.stringify({ code }) };
  }
}

function worldOf(design: string): World {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    options: `-c search_path=${schemaOf(design)}`,
    max: options.poolSize,
    idleTimeoutMillis: 500,
  });
  pool.on('error', () => undefined); // an idle connection that the server has ended
  const stripe = new Stripe('sk_test_gallery', {
    ...{ host: '127.0.0.1', port: options.sandboxPort, protocol: 'http', telemetry: false },
    ...{ timeout: PROCESSOR_TIMEOUT_MS, maxNetworkRetries: 0 },
  });
  return {
    db: {
      query: (sql, values) => ask(pool, sql, values),
      transaction: (work) => transaction(pool, work),
    },
    pay: (key, purchase) => pay(stripe, design, key, purchase),
  };
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

async function pay(
  stripe: Stripe,
  design: string,
  key: string,
  { account, amount, currency, payment_method }: Purchase,
): Promise<Payment> {
  await reached('before-call');
  note({ kind: 'call', from: 'api', to: 'processor', text: `pay ${amount}`, detail: { sql: key } });
  const { run = '' } = trip.getStore() ?? {};
  const payment = await stripe.paymentIntents
    .create(
      {
        ...{ amount, currency, payment_method, confirm: true },
        automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
        metadata: { run, design, account },
      },
      { idempotencyKey: key },
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

/** Waits here if the request asks for it, until the experiment releases it or kills this process. */
async function reached(point: string): Promise<void> {
  const { run = '', attempt = 0, holdAt } = trip.getStore() ?? {};
  if (holdAt !== point) return;
  const id = `${run}.${attempt}`;
  await new Promise<void>((go) => {
    held.set(id, go);
    send({ held: id });
  });
}

function note(event: Omit<HostEvent, 'run' | 'attempt' | 'pid' | 'at'>): void {
  const { run = '', attempt = 1 } = trip.getStore() ?? {};
  if (run === '') return;
  const line: HostEvent = { run, attempt, pid: process.pid, at: Date.now(), ...event };
  writeSync(journal, `${JSON.stringify(line)}\n`);
}

function send(message: HostMessage): void {
  process.send?.(message);
}
