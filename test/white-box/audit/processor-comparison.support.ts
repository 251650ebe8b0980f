import { expect } from '@jest/globals';
import { compareWithProcessor } from '../../../src/audit/processor-comparison.js';
import type { Database } from '../../../src/database/database.js';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.server.js';
import { writeCleanBooks, type Ids } from '../../audit/clean-books.js';
import { openFreshDatabase, type OpenDatabase } from '../../support/open-database.js';

/**
 * Clean books of one account, and the same payments and refunds in the ledger of a real sandbox. Tests take the methods
 * that they call often out of the object, so these are arrow functions.
 */
export class BothLedgers {
  db!: Database;
  processor!: StripeProcessor;
  /** The ids in our books. */
  ids!: Ids;
  /** The payment of the charge `ids.id`. */
  paymentId = '';
  /** The payment of the charge `ids.bought`. */
  boughtPayment = '';
  /** The processor's id of the refund `ids.refund`. */
  refundReference = '';
  private database!: OpenDatabase;
  private sandbox!: Sandbox;
  private payments = 0;

  async open(): Promise<void> {
    this.database = await openFreshDatabase();
    this.db = this.database.db;
    this.sandbox = await startSandbox({ databaseUrl: this.database.url });
    this.processor = new StripeProcessor({
      name: 'sandbox',
      secretKey: 'sk_test_audit',
      baseUrl: new URL(this.sandbox.url),
      timeoutMs: 8_000,
    });
  }

  async close(): Promise<void> {
    await this.sandbox.close();
    await this.database.close();
  }

  /** Makes both ledgers agree. */
  async reset(): Promise<void> {
    await this.db.query(
      `TRUNCATE accounts, idempotency_records, naive_charges, parked_payments, sandbox.payment_intents, sandbox.refunds CASCADE`,
    );
    const ids = (this.ids = await writeCleanBooks(this.db, 'acme'));
    this.paymentId = await this.pay();
    await this.change(`processor_reference = '${this.paymentId}'`, ids.id);
    this.boughtPayment = await this.pay({ charge: ids.bought });
    await this.change(`processor_reference = '${this.boughtPayment}'`, ids.bought);
    this.refundReference = await this.giveBack();
    await this.changeRefund(`processor_reference = '${this.refundReference}'`);
    const payment = await this.pay({ charge: ids.returned });
    await this.change(`processor_reference = '${payment}'`, ids.returned);
    const owed = { refund: ids.owed, charge: ids.returned, payment, amount: 1200 };
    await this.changeRefund(`processor_reference = '${await this.giveBack(owed)}'`, ids.owed);
  }

  /** The real sandbox takes money, under a new key each time. */
  pay = async (
    { charge = this.ids.id, account = this.ids.account, amount = 1200 } = {},
    paymentMethod = 'pm_card_visa',
  ): Promise<string> => {
    const metadata = { charge, account };
    const parameters = { amount, currency: 'eur', payment_method: paymentMethod, metadata };
    const { processor } = this;
    const answer = await processor.pay(`payment ${++this.payments}`, processor.prepare(parameters));
    return 'reference' in answer ? String(answer.reference) : answer.kind;
  };

  /** The real sandbox gives money back, under a new key each time. */
  giveBack = async ({
    refund = this.ids.refund,
    charge = this.ids.bought,
    payment = this.boughtPayment,
    amount = 100,
  } = {}): Promise<string> => {
    const metadata = { refund, charge, account: this.ids.account };
    const parameters = { payment_intent: payment, amount, metadata };
    const { processor } = this;
    const answer = await processor.refund(
      `refund ${++this.payments}`,
      processor.prepareRefund(parameters),
    );
    return 'reference' in answer ? String(answer.reference) : answer.kind;
  };

  changeRefund = async (set: string, id = this.ids.refund): Promise<void> => {
    await this.db.query(`UPDATE refunds SET ${set} WHERE id = '${id}'`);
  };

  change = async (set: string, id: string): Promise<void> => {
    await this.db.query(`UPDATE charges SET ${set} WHERE id = '${id}'`);
  };

  findings = async (): Promise<string[]> => {
    const rows = await compareWithProcessor(this.db, this.processor);
    for (const { account_id, detail } of rows) {
      expect(account_id).toBe(this.ids.account);
      expect(detail).toMatch(/\S/);
    }
    return rows.map(({ invariant, id }) => `${invariant} ${id}`);
  };
}
