import type pg from 'pg';
import type { CreateCharge } from '../../charges/charge.dto.js';
import type {
  Notification,
  PaymentParameters,
  Processor,
  ProcessorAnswer,
} from '../../processor/processor.js';
import type { Gate } from './gate.js';

interface PaymentOfKey {
  key: string;
  amount: number;
  currency: string;
  reference: string;
}

/** The processor: one payment for each of its keys. It runs in this process, so that its call is also a step. */
export class Ledger {
  /** How often the processor was called. */
  calls = 0;
  readonly payments: PaymentOfKey[] = [];
  private readonly listeners: (() => void)[] = [];

  pay(key: string, prepared: string): ProcessorAnswer {
    this.calls += 1;
    const paid = this.payments.find((payment) => payment.key === key);
    if (paid) return answerOf(paid);
    const { amount, currency } = JSON.parse(prepared) as PaymentParameters;
    const payment = { key, amount, currency, reference: `pi_${key}` };
    this.payments.push(payment);
    for (const listener of this.listeners) listener();
    return answerOf(payment);
  }

  onPayment(listener: () => void): void {
    if (this.payments.length > 0) listener();
    else this.listeners.push(listener);
  }

  /** The processor as one actor sees it. A charge that is neither abandoned nor in doubt needs no other call. */
  behind(gate: Gate): Processor {
    const seen: Pick<Processor, 'name' | 'prepare' | 'pay'> = {
      name: 'fake',
      prepare: (parameters) => JSON.stringify(parameters),
      pay: (key, prepared) =>
        gate.pass(
          'the processor is called',
          async () => this.pay(key, prepared),
          ({ kind }) => kind,
        ),
    };
    return seen as Processor;
  }
}

export const KEY = 'one-key';
const ORDER_ID = 'ord_1';

/** The purchase of one schedule. It has its own account, so that rows of other schedules do not matter. */
export interface Purchase {
  account: string;
  ledger: Ledger;
  /** The request, and another one with the same key. */
  body: CreateCharge;
  otherBody: CreateCharge;
}

let purchases = 0;

/** @param ofOrder the charge pays an order: its beats are transactions of many statements instead of one statement. */
export async function newPurchase(control: pg.Client, ofOrder: boolean): Promise<Purchase> {
  const account = `acct_${(purchases += 1)}`;
  await control.query(`INSERT INTO accounts (id, name) VALUES ($1, 'Schedule')`, [account]);
  const ledger = new Ledger();
  const card = { payment_method: 'pm_card_visa' };
  if (!ofOrder) {
    const body = { ...card, amount: 1000, currency: 'usd' } as CreateCharge;
    return { account, ledger, body, otherBody: { ...body, amount: 2000 } };
  }
  await control.query(
    `INSERT INTO products (account_id, sku, name, on_hand, version) VALUES ($1, 'cup', 'Cup', 5, 1)`,
    [account],
  );
  await control.query(
    `INSERT INTO orders (account_id, id, status, currency, total, items, metadata, version)
     VALUES ($1, $2, 'open', 'usd', 1000, '[{"sku":"cup","quantity":1,"unit_amount":1000}]', '{}', 1)`,
    [account, ORDER_ID],
  );
  const body = { ...card, order: ORDER_ID } as CreateCharge;
  return { account, ledger, body, otherBody: { ...body, description: 'another intent' } };
}

/** The processor's notification of the payment. */
export function notificationOf({ account, ledger }: Purchase): Notification {
  const payment = ledger.payments[0]!;
  return {
    id: `evt_${account}`,
    type: 'payment_intent.succeeded',
    account,
    charge: payment.key,
    reference: payment.reference,
    amount: payment.amount,
    currency: payment.currency,
    answer: answerOf(payment),
  };
}

function answerOf({ reference }: PaymentOfKey): ProcessorAnswer {
  return { kind: 'succeeded', reference };
}
