import { createAccount } from '../../src/accounts/new-account.js';
import type { Database } from '../../src/idempotency/database.js';
import { deriveId } from '../../src/idempotency/identity.js';
import { receiveNotifications, writeEvents } from './clean-events.js';
import { cancelSale, deliver, sendReceipts, ship } from './clean-effects.js';

/** The ids of one account's objects. Faults use them as `$id`, `$failed` and so on. */
export interface Ids {
  account: string;
  /** Charges without an order: succeeded, failed, pending. */
  id: string;
  failed: string;
  pending: string;
  /** An order made by `POST /orders`, the charge that paid it, and refunds of that charge, one of each status. */
  order: string;
  bought: string;
  refund: string;
  refundFailed: string;
  refundPending: string;
  /** An order made by PUT, and the pending charge that holds it. */
  held: string;
  holder: string;
  /** An order that was paid but cannot be delivered, the charge that paid it, and the refund that we owe. */
  unsold: string;
  returned: string;
  owed: string;
  /** A shipment of the order, one of two endpoints, and the delivery of the shipment's event to it. */
  shipment: string;
  endpoint: string;
  delivery: string;
}

type Status = 'succeeded' | 'failed' | 'pending';

/** Rows without a fault, as the API writes them. */
export async function writeCleanBooks(db: Database, name: string): Promise<Ids> {
  const account = await createAccount(db, name);
  const books = new Books(db, account, name);
  // JSON escapes two of these characters. The derived id depends on that.
  const id = await books.charge('order "1" \\ payment', 'succeeded');
  const failed = await books.charge('failed', 'failed');
  const pending = await books.charge('pending', 'pending');

  await books.product(10, { held: 4 });
  const order = await books.postOrder('new order');
  const bought = await books.charge('bought', 'succeeded', order);
  const held = 'order-2';
  await books.order(held);
  const holder = await books.charge('holder', 'pending', held);
  const refund = await books.refund('refund', bought, 'succeeded');
  const refundFailed = await books.refund('refund failed', bought, 'failed');
  const refundPending = await books.refund('refund pending', bought, 'pending');
  const unsold = 'order-3';
  await books.order(unsold);
  const returned = await books.charge('returned', 'succeeded', unsold);
  const owed = await cancelSale(db, { account, order: unsold, charge: returned });
  const shipment = await ship(db, { account, order, charge: bought });
  await writeEvents(db, account);
  await receiveNotifications(db, account);
  await sendReceipts(db, account);
  const { endpoint, delivery } = await deliver(db, account, 'first');
  await deliver(db, account, 'second');
  const refunds = { refund, refundFailed, refundPending };
  const effects = { unsold, returned, owed, shipment, endpoint, delivery };
  return { account, id, failed, pending, order, bought, ...refunds, held, holder, ...effects };
}

const ITEMS = [{ sku: 'shirt', quantity: 2, unit_amount: 600 }];

class Books {
  constructor(
    private readonly db: Database,
    private readonly account: string,
    private readonly name: string,
  ) {}

  async charge(key: string, status: Status, order?: string): Promise<string> {
    const id = this.derive('ch', 'POST /charges', key);
    const wire = { id, object: 'charge', amount: 1200, currency: 'eur', status };
    await this.record(
      key,
      'POST /charges',
      id,
      answerOf(status, wire, `/charges/${id}`, { charge: id }),
    );
    await this.db.query(
      `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, failure_code,
         processor, processor_parameters, processor_reference, settled_at, order_id)
       VALUES ($1, $2, $3, 1200, 'eur', 'pm_card_visa', '{}', CASE $3 WHEN 'failed' THEN 'card_declined' END,
         'sandbox', $4, CASE $3 WHEN 'succeeded' THEN $5 END, CASE WHEN $3 <> 'pending' THEN now() END, $6)`,
      [
        this.account,
        id,
        status,
        JSON.stringify({
          amount: 1200,
          currency: 'eur',
          metadata: { charge: id, account: this.account },
        }),
        `pi_${this.name}_${key}`,
        order,
      ],
    );
    if (order === undefined) return id;
    await this.db.query(
      `UPDATE orders SET charge_id = $3, status = $4 WHERE account_id = $1 AND id = $2`,
      [this.account, order, id, status === 'succeeded' ? 'paid' : 'open'],
    );
    await this.move(id, 'hold', 2);
    return id;
  }

  async refund(key: string, charge: string, status: Status): Promise<string> {
    const operation = 'POST /charges/{id}/refunds';
    const id = this.derive('re', operation, key);
    const wire = { id, object: 'refund', charge, amount: 100, currency: 'eur', status };
    await this.record(
      key,
      operation,
      id,
      answerOf(status, wire, `/refunds/${id}`, { refund: id, charge }),
    );
    await this.db.query(
      `INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, failure_code, processor,
         processor_parameters, processor_reference, settled_at)
       VALUES ($1, $2, $3, $4, 100, 'eur', CASE $4 WHEN 'failed' THEN 'charge_disputed' END, 'sandbox', $5,
         CASE $4 WHEN 'succeeded' THEN $6 END, CASE WHEN $4 <> 'pending' THEN now() END)`,
      [
        this.account,
        id,
        charge,
        status,
        JSON.stringify({ amount: 100, metadata: { refund: id, charge, account: this.account } }),
        `re_${this.name}`,
      ],
    );
    if (status === 'succeeded') {
      await this.db.query(
        `UPDATE charges SET amount_refunded = amount_refunded + 100 WHERE account_id = $1 AND id = $2`,
        [this.account, charge],
      );
    }
    return id;
  }

  async postOrder(key: string): Promise<string> {
    const id = this.derive('ord', 'POST /orders', key);
    const wire = { id, object: 'order', total: 1200, currency: 'eur' };
    await this.record(key, 'POST /orders', id, answerOf('succeeded', wire, `/orders/${id}`, {}));
    await this.order(id);
    return id;
  }

  async order(id: string): Promise<void> {
    await this.db.query(
      `INSERT INTO orders (account_id, id, status, currency, total, items, email, metadata, version)
       VALUES ($1, $2, 'open', 'eur', 1200, $3, 'ann@shop.test', '{}', 1)`,
      [this.account, id, JSON.stringify(ITEMS)],
    );
  }

  async product(onHand: number, { held }: { held: number }): Promise<void> {
    await this.db.query(
      `INSERT INTO products (account_id, sku, name, on_hand, held, version) VALUES ($1, 'shirt', 'Shirt', $2, $3, 1)`,
      [this.account, onHand, held],
    );
    await this.move('version 1', 'adjust', onHand);
  }

  private async move(cause: string, kind: string, quantity: number): Promise<void> {
    await this.db.query(
      `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity) VALUES ($1, 'shirt', $2, $3, $4)`,
      [this.account, cause, kind, quantity],
    );
  }

  private derive(prefix: string, operation: string, key: string): string {
    return deriveId(prefix, this.account, operation, key);
  }

  /** The lease is an hour: on a busy machine the tests outlast a usual one, and the record would be overdue. */
  private async record(
    key: string,
    operation: string,
    id: string,
    answer?: StoredAnswer,
  ): Promise<void> {
    await this.db.query(
      `INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
         state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at, completed_at, expires_at,
         response_status, response_headers, response_body)
       VALUES ($1, $2, $3, $4, '\\x00', '{}', 'req_1', $5, 1, 1, false, now(),
         CASE $5 WHEN 'in_progress' THEN now() + interval '1 hour' END,
         CASE $5 WHEN 'completed' THEN now() END, CASE $5 WHEN 'completed' THEN now() + interval '7 days' END,
         $6, $7, $8)`,
      [
        this.account,
        key,
        operation,
        id,
        answer ? 'completed' : 'in_progress',
        answer?.status,
        answer && JSON.stringify(answer.headers),
        answer && JSON.stringify(answer.body),
      ],
    );
  }
}

interface StoredAnswer {
  status: number;
  headers: object;
  body: object;
}

function answerOf(
  status: Status,
  wire: object,
  url: string,
  names: object,
): StoredAnswer | undefined {
  if (status === 'pending') return undefined;
  return status === 'succeeded'
    ? { status: 201, headers: { Location: url }, body: wire }
    : { status: 402, headers: {}, body: { type: '/problems/charge_failed', ...names } };
}
