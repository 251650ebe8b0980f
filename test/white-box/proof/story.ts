import type { Journals, Line, Rows } from '../../../src/proof/history.js';
import { asked } from './asked.js';

/** Where a request goes. Defaults: account a, key k, POST /charges, body A. */
export interface To {
  account?: string;
  key?: string;
  operation?: string;
  body?: string;
}

/** The webhook for the event of a charge that succeeded. */
export const WEBHOOK = '{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_k"}}}';

/** Builds the journals of a small campaign. Each call is a second later than the one before. */
export class Story {
  private now = 0;
  private n = 0;
  private faults = 0;
  private isAsked = true;
  private readonly lines: Line[] = [];
  private readonly rows: Rows = {
    records: [],
    charges: [],
    refunds: [],
    orders: [],
    products: [],
    events: [],
    fulfillments: [],
    deliveries: [],
  };
  private readonly rest: Omit<Journals, 'history' | 'rows'> = {
    leaseMs: 5_000,
    ledger: { payments: [], refunds: [] },
    mails: [],
    received: [],
  };

  /** Request number 1, 2 and so on. */
  ask({ account = 'a', key = 'k', operation = 'POST /charges', body = 'A' }: To = {}): this {
    const n = ++this.n;
    return this.line({ what: 'invoke', n, at: this.tick(), account, key, operation, body });
  }

  ok(n: number, body = 'paid', status = 201): this {
    return this.line({ what: 'ok', n, at: this.tick(), status, body });
  }

  fail(n: number, code: string, status = 422, body?: string): this {
    return this.line({ what: 'fail', n, at: this.tick(), status, code, body });
  }

  lost(n: number, status?: number, code?: string): this {
    return this.line({ what: 'unknown', n, at: this.tick(), status, code });
  }

  read(object: string, state?: string, { account = 'a', status = 200, lasts = 0 } = {}): this {
    const at = this.tick();
    return this.line({ what: 'read', at, until: at + lasts, account, object, status, state });
  }

  /** Time passes. */
  wait(ms: number): this {
    this.now += ms;
    return this;
  }

  /** The next call is in the same millisecond as the last. */
  atOnce(): this {
    return this.wait(-1_000);
  }

  fault(ms: number): this {
    this.faultWithoutEnd('kill');
    const cell = { fault: this.faults, point: 'api', action: 'kill' };
    return this.line({ what: 'fault-end', at: (this.now += ms), ...cell });
  }

  faultWithoutEnd(action = 'stop'): this {
    const cell = { fault: ++this.faults, point: 'api', action };
    return this.line({ what: 'fault-begin', at: this.tick(), ...cell });
  }

  healed(): this {
    return this.line({ what: 'healed', at: this.tick() });
  }

  record(key = 'k', body: string | null = 'paid', status: number | null = 201): this {
    this.rows.records.push({
      account: 'a',
      key,
      state: status === null ? 'in_progress' : 'completed',
      status,
      body,
      firstSeenAt: 0,
      completedAt: status === null ? null : this.tick(),
    });
    return this;
  }

  /** When the last record was written. */
  seenAt(ms: number): this {
    this.rows.records.at(-1)!.firstSeenAt = ms;
    return this;
  }

  /** What the last record has stored. */
  recordSays(body: string, status: number): this {
    Object.assign(this.rows.records.at(-1)!, { body, status });
    return this;
  }

  charge(key = 'k', of: Partial<Rows['charges'][number]> = {}): this {
    const row = { account: 'a', id: `ch_${key}`, marker: `a/${key}`, status: 'succeeded' };
    const rest = { amount: 10, refunded: 0, order: null, hasReceipt: false };
    this.rows.charges.push({ ...row, ...rest, ...of });
    return this;
  }

  event(object = 'ch_k', of: Partial<Rows['events'][number]> = {}): this {
    const id = `evt_${this.rows.events.length + 1}`;
    const row = { account: 'a', id, type: 'charge.succeeded', object, isRelayed: true };
    this.rows.events.push({ ...row, ...of });
    return this;
  }

  payment(key = 'k', of: Partial<Journals['ledger']['payments'][number]> = {}): this {
    const id = `pi_${this.rest.ledger.payments.length + 1}`;
    const row = { id, marker: `a/${key}`, account: 'a' };
    this.rest.ledger.payments.push({ ...row, amount: 10, status: 'succeeded', ...of });
    return this;
  }

  /** A charge that succeeded, with everything that belongs to it. */
  paid(key = 'k', of: Partial<Rows['charges'][number]> = {}): this {
    return this.record(key)
      .charge(key, of)
      .payment(key)
      .event(of.id ?? `ch_${key}`);
  }

  refund(key: string, of: Partial<Rows['refunds'][number]> = {}): this {
    const row = { account: 'a', id: `re_${key}`, marker: `a/${key}`, charge: 'ch_k' };
    const made = { ...row, status: 'succeeded', amount: 4, ...of };
    this.rows.refunds.push(made);
    if (made.status === 'succeeded') return this.event(made.charge, { type: 'charge.refunded' });
    return made.status === 'failed' ? this.event(made.id, { type: 'refund.failed' }) : this;
  }

  givenBack(key: string, amount = 4, status = 'succeeded', payment?: string): this {
    const id = `re_p${this.rest.ledger.refunds.length + 1}`;
    this.rest.ledger.refunds.push({ id, refund: `re_${key}`, amount, status, payment });
    return this;
  }

  order(id = 'o', of: Partial<Rows['orders'][number]> = {}): this {
    const row = { account: 'a', id, marker: `a/order-${id}`, status: 'open', charge: null };
    this.rows.orders.push({ ...row, items: [{ sku: 's', quantity: 2, unit_amount: 5 }], ...of });
    return this;
  }

  /** An order that a charge has paid, with everything that belongs to both. */
  sold(key = 'k', id = 'o', of: Partial<Rows['orders'][number]> = {}): this {
    return this.paid(key, { order: id })
      .order(id, { status: 'paid', charge: `ch_${key}`, ...of })
      .event(id, { type: 'order.paid' })
      .shipment(id);
  }

  /** An order that was canceled before it was paid. */
  canceled(id = 'o'): this {
    return this.order(id, { status: 'canceled' }).event(id, { type: 'order.canceled' });
  }

  shipment(order = 'o'): this {
    const id = `f_${this.rows.fulfillments.length + 1}`;
    this.rows.fulfillments.push({ account: 'a', id, order });
    return this.event(id, { type: 'fulfillment.created' });
  }

  /** Stock that began with ten. */
  product(onHand: number, held: number, { account = 'a', sku = 's' } = {}): this {
    this.rows.products.push({ account, sku, initial: 10, onHand, held });
    return this;
  }

  /** Removes the last event. */
  silent(): this {
    this.rows.events.pop();
    return this;
  }

  unshipped(): this {
    const { id } = this.rows.fulfillments.pop()!;
    this.rows.events = this.rows.events.filter(({ object }) => object !== id);
    return this;
  }

  mail(messageId = 'm1', charge = 'ch_k', to?: string): this {
    this.rest.mails.push({ messageId, charge, to });
    return this;
  }

  delivery(event = 'evt_1', status = 'succeeded'): this {
    this.rows.deliveries.push({ account: 'a', id: `dl_${event}`, event, status });
    return this;
  }

  received(webhookId = 'evt_1', body = WEBHOOK): this {
    this.rest.received.push({ account: 'a', webhookId, body });
    return this;
  }

  /** Charges and payments of keys that this history never asks for have no request. */
  unasked(): this {
    this.isAsked = false;
    return this;
  }

  journals(): Journals {
    const journals = { ...this.rest, history: this.lines, rows: this.rows };
    return this.isAsked ? asked(journals) : journals;
  }

  private line(line: Line): this {
    this.lines.push(line);
    return this;
  }

  private tick(): number {
    return (this.now += 1_000);
  }
}

export const story = () => new Story();

/** A charge that the processor declined. */
export function declined(of: Story, charge: Parameters<Story['charge']>[1] = {}): Story {
  return of
    .record('k', 'no', 402)
    .charge('k', { status: 'failed', ...charge })
    .event(charge.id ?? 'ch_k', { type: 'charge.failed' });
}

/** Problem codes. */
export const REUSED = 'idempotency_key_reused';
export const OPEN = 'idempotency_request_in_progress';
export const NOT_REACHED = 'database_unavailable';

export const ORDER = { operation: 'POST /orders' };
