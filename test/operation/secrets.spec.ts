import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import Stripe from 'stripe';
import { DataSource } from 'typeorm';
import { databaseOptions } from '../support/internals.js';
import { makeAccount } from '../support/app.js';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';
import { logLines, send, type LogLine } from './operation.support.js';

/**
 * No log contains secrets or customers' data. The test sends a canary wherever such a value travels, through successes,
 * declines, refusals, faults and crashes, and then searches every line of every process. It makes PostgreSQL refuse
 * rows with an error that quotes them.
 */
const CANARY = {
  idempotencyKey: 'canary-key-7f3a1c',
  description: 'canary description 8e2b',
  email: 'canary.person@example.com',
  metadata: 'canary-metadata-5d90',
  unknownCard: 'pm_canaryCard4b1d',
  wrongApiKey: 'sk_test_canaryWrong77aa',
  webhookSecret: 'whsec_canarySecret99bb',
  path: 'canary-path-1a2b',
  query: 'canary-query-3c4d',
  header: 'canary-header-5e6f',
  malformed: 'canary-malformed-0c1d',
};

describe('the output of all processes', () => {
  let stack: Stack;
  let apiKey: string;
  let password: string;
  let output: string;

  beforeAll(async () => {
    stack = await startStack({
      env: {
        LAB: '1',
        LOG_LEVEL: 'trace',
        PROCESSOR_WEBHOOK_SECRET: CANARY.webhookSecret,
        SANDBOX_WEBHOOK_DELAY_MS: '60000', // so that the worker recovers it first and logs that
      },
    });
    password = new URL(stack.databaseUrl).password;
    const db = await new DataSource(databaseOptions(stack.databaseUrl, 1)).initialize();
    ({ apiKey } = await makeAccount(db, 'Canary'));
    await db.destroy();
    await run(stack, apiKey);
    await stack.stop();
    // The banner of `npm start` shows the demo keys and the embedded server's URL on purpose.
    output = stack.output();
  });
  afterAll(() => stack.stop());

  it.each(Object.entries(CANARY))('has no %s', (_what, canary) => {
    expect(linesWith(output, canary)).toEqual([]);
  });

  it('contains no API key and no database password', () => {
    expect(password.length).toBeGreaterThan(8);
    expect(linesWith(output, apiKey)).toEqual([]);
    expect(linesWith(output, password)).toEqual([]);
  });

  it('has a line for each kind of event, so that a leak would show', () => {
    const lines = logLines(output);
    const seen = (facts: Partial<LogLine>) =>
      expect(lines).toContainEqual(expect.objectContaining(facts));
    seen({ status: 201, outcome: 'executed' });
    seen({ status: 201, outcome: 'replayed' });
    seen({ status: 402, outcome: 'executed' });
    for (const code of [
      'unauthorized',
      'validation_failed',
      'malformed_json',
      'idempotency_key_invalid',
      'idempotency_key_reused',
      'not_found',
      'internal_error',
    ])
      seen({ code });
    seen({ outcome: 'pending', code: 'processor_outcome_unknown' });
    expect(output).toMatch(/api \(pid \d+\) ended with SIGKILL/);
    expect(output).toContain('"msg":"recovery"');
    // Both databases refused a row, and the values are in pg's error.
    expect(output).toContain('"code":"23514"');
    expect(output).toContain('"code":"22P02"');
    expect(refusedBySandbox(output)).toBe(true);
  });
});

async function run(stack: Stack, apiKey: string): Promise<void> {
  const { apiUrl } = stack;
  const body = {
    amount: 1200,
    currency: 'eur',
    payment_method: 'pm_card_visa',
    description: CANARY.description,
    receipt_email: CANARY.email,
    metadata: { note: CANARY.metadata },
  };
  const headers = { 'x-canary': CANARY.header, cookie: CANARY.header };
  let number = 0;
  const key = () => `${CANARY.idempotencyKey}-${++number}`;
  const charge = (changes: object = {}, more: object = {}) =>
    send(`${apiUrl}/charges`, {
      apiKey,
      key: key(),
      body: { ...body, ...changes },
      headers,
      ...more,
    });

  const again = key();
  await charge({}, { key: again });
  await charge({}, { key: again });
  await charge({ description: `${CANARY.description}!` }, { key: again });
  await charge({ payment_method: 'pm_card_visa_chargeDeclined' });
  await charge({ payment_method: CANARY.unknownCard });
  await charge({ payment_method: 'pm_lab_timeout' });
  await charge({ amount: CANARY.description, [CANARY.metadata]: 1 });
  await charge({}, { body: `{"description": "${CANARY.malformed}" "x` });
  await charge({}, { key: `"${CANARY.idempotencyKey}` });
  await charge({}, { apiKey: CANARY.wrongApiKey });
  await charge({}, { headers: { 'content-type': `text/${CANARY.header}` } });
  await charge({ metadata: { secret: CANARY.webhookSecret } });
  await send(`${apiUrl}/charges/${CANARY.path}?expand=${CANARY.query}`, { apiKey, headers });
  await send(`${apiUrl}/${CANARY.path}/%zz?${CANARY.query}`, { apiKey, headers });
  await send(`${apiUrl}/charges?starting_after=${CANARY.query}`, { apiKey });
  await send(`${apiUrl}/problems/${CANARY.path}`);
  await send(`${apiUrl}/idempotency-keys/${CANARY.idempotencyKey}`, { apiKey });
  await send(`${apiUrl}/lab/naive/charges`, { apiKey, body });
  await send(`${stack.sandboxUrl}/v1/${CANARY.path}`, { apiKey: CANARY.wrongApiKey });
  for (const signature of [CANARY.header, signed(notification)]) {
    const forged = { 'stripe-signature': signature, 'x-canary': CANARY.header };
    await send(`${apiUrl}/webhooks/processor`, { body: notification, headers: forged });
  }

  // A crash, and the worker's recovery of it.
  const pid = await stack.apiPid();
  await charge({}, { headers: { ...headers, 'lab-fault': 'crash-after-processor' } }).catch(
    () => undefined,
  );
  await stack.restarted('api', pid);
  await until(async () => (await send(`${apiUrl}/health/ready`)).status === 200);
  await until(async () => stack.output().includes('"msg":"recovery"'));

  const db = new pg.Client({ connectionString: stack.databaseUrl });
  await db.connect();
  // A row that the sandbox's database and then ours refuse: the error's `detail` quotes it.
  await db.query(
    `ALTER TABLE sandbox.payment_intents ADD CONSTRAINT no_canaries CHECK (false) NOT VALID`,
  );
  await charge();
  await db.query(`ALTER TABLE sandbox.payment_intents DROP CONSTRAINT no_canaries`);
  await db.query(`ALTER TABLE charges ADD CONSTRAINT no_canaries CHECK (false) NOT VALID`);
  await charge();
  await db.query('ALTER TABLE charges DROP CONSTRAINT no_canaries');
  // A value in the message itself: invalid input syntax for type integer: "…".
  await db.query(
    `ALTER TABLE charges ADD CONSTRAINT numbers CHECK (description::integer > 0) NOT VALID`,
  );
  await charge();
  await db.query('ALTER TABLE charges DROP CONSTRAINT numbers');
  // The database ends all sessions, in the middle of their work.
  const slow = charge({ payment_method: 'pm_lab_slow' });
  await db.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  await db.end();
  await slow;
}

/** A notification for a charge that does not exist: it is stored, and logs nothing. */
const notification = JSON.stringify({
  id: 'evt_canary',
  type: 'payment_intent.succeeded',
  data: {
    object: {
      ...{ id: 'pi_1', amount: 1, currency: 'eur', status: 'succeeded' },
      description: CANARY.description,
      receipt_email: CANARY.email,
      metadata: { charge: `ch_${'0'.repeat(32)}`, account: 'acct_1', note: CANARY.metadata },
    },
  },
});

function signed(payload: string): string {
  return Stripe.webhooks.generateTestHeaderString({ payload, secret: CANARY.webhookSecret });
}

function refusedBySandbox(output: string): boolean {
  return logLines(output).some(({ during, code }) => during === 'POST' && code === '23514');
}

function linesWith(output: string, text: string): string[] {
  return output.split('\n').filter((line) => line.includes(text));
}
