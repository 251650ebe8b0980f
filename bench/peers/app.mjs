// Two other ways to charge under a key, to compare their cost in `npm run bench`: same database, processor and body.
//     POST /keyed  @node-idempotency/nestjs with its Redis adapter around the call and one INSERT
//     POST /open   key, call and charge in one open transaction, as in many tutorials
// Both look up the API key and respond with the charge. Neither survives the faults in test/guarantees.
import 'reflect-metadata';
import { createHash, randomUUID } from 'node:crypto';
import { ConflictException, Module, UnauthorizedException } from '@nestjs/common';
import { Body, Controller, Get, Post, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Idempotent, NodeIdempotencyModule } from '@node-idempotency/nestjs';
import pg from 'pg';
import Stripe from 'stripe';

const { DATABASE_URL, PORT, PROCESSOR_URL, REDIS_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const { hostname: host, port } = new URL(PROCESSOR_URL);
const stripe = new Stripe('sk_test_peer', { host, port, protocol: 'http', telemetry: false });

class Charges {
  ready() {}

  async keyed(request, terms) {
    const account = await accountOf(request);
    const payment = await pay(randomUUID(), terms);
    return insertCharge(db, account, terms, payment);
  }

  async open(request, terms) {
    const account = await accountOf(request);
    const key = request.headers['idempotency-key'];
    const tx = await db.connect();
    try {
      await tx.query('BEGIN');
      const { rowCount } = await tx.query(
        'INSERT INTO peer_keys (account_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING',
        [account, key],
      );
      if (rowCount === 0) throw new ConflictException();
      const payment = await pay(`${account}:${key}`, terms);
      const charge = await insertCharge(tx, account, terms, payment);
      await tx.query('UPDATE peer_keys SET answer = $3 WHERE account_id = $1 AND key = $2', [
        account,
        key,
        JSON.stringify(charge),
      ]);
      await tx.query('COMMIT');
      return charge;
    } catch (error) {
      await tx.query('ROLLBACK');
      throw error;
    } finally {
      tx.release();
    }
  }
}

async function accountOf({ headers }) {
  const [, apiKey = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? [];
  const { rows } = await db.query(
    'SELECT account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL',
    [createHash('sha256').update(apiKey).digest()],
  );
  if (!rows[0]) throw new UnauthorizedException();
  return rows[0].account_id;
}

function pay(idempotencyKey, { amount, currency, payment_method }) {
  return stripe.paymentIntents.create(
    {
      ...{ amount, currency, payment_method, confirm: true, error_on_requires_action: true },
      automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
    },
    { idempotencyKey },
  );
}

async function insertCharge(on, account, { amount, currency, payment_method }, { id: reference }) {
  const id = `ch_${randomUUID()}`;
  await on.query(
    `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [account, id, amount, currency, payment_method, reference],
  );
  return { id, object: 'charge', amount, currency, status: 'succeeded', payment_method, reference };
}

// Applies decorators by hand, because this file runs without a compiler.
for (const name of ['keyed', 'open']) {
  const method = Object.getOwnPropertyDescriptor(Charges.prototype, name);
  Post(name)(Charges.prototype, name, method);
  Req()(Charges.prototype, name, 0);
  Body()(Charges.prototype, name, 1);
}
Get('ready')(
  Charges.prototype,
  'ready',
  Object.getOwnPropertyDescriptor(Charges.prototype, 'ready'),
);
Idempotent({ enforceIdempotency: true })(
  Charges.prototype,
  'keyed',
  Object.getOwnPropertyDescriptor(Charges.prototype, 'keyed'),
);
Controller()(Charges);

class App {}
Module({
  imports: [
    NodeIdempotencyModule.forRootAsync({
      storage: { adapter: 'redis', options: { url: REDIS_URL } },
      cacheTTLMS: 7 * 24 * 3_600_000,
    }),
  ],
  controllers: [Charges],
})(App);

await db.query(`CREATE TABLE IF NOT EXISTS peer_keys (
  account_id text, key text, answer text, PRIMARY KEY (account_id, key))`);
const app = await NestFactory.create(App, { logger: ['error'] });
await app.listen(Number(PORT), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
