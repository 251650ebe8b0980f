import type { Actor, Reconciled, RowsTable } from '../../lab/run.js';
import { groupBy, type Digest } from '../checker/digest.js';
import { recordsOf, type Subject } from './witness-subject.js';
import type { Drawn } from './witness-line.js';

// What the journals contain without a time: rows, payments, messages, as they were at the end.

/** The most rows of each table. More would show nothing new. */
const MOST = 6;

/** Everything in the journals about a subject. */
export type Belongings = ReturnType<typeof belongings>;

export function belongings(known: Digest, subject: Subject) {
  const { rows, ledger, mails, received } = known;
  const { objects, named } = subject;
  const isOurs = ({ marker }: { marker: string }) => subject.markers.includes(marker);
  const isOfStock = subject.markers.length === 0;
  const refunds = rows.refunds.filter((each) => isOurs(each) || objects.has(each.charge));
  const refundIds = new Set(refunds.map(({ id }) => id));
  const events = rows.events.filter(({ id, object }) => objects.has(object) || named.has(id));
  const eventIds = new Set(events.map(({ id }) => id));
  return {
    records: recordsOf(known, subject),
    charges: rows.charges.filter(isOurs),
    refunds,
    orders: rows.orders.filter(isOurs),
    events,
    fulfillments: rows.fulfillments.filter(({ order }) => objects.has(order)),
    payments: ledger.payments.filter(isOurs),
    givenBack: ledger.refunds.filter(({ id, refund }) => refundIds.has(refund) || named.has(id)),
    mails: mails.filter(({ charge }) => objects.has(charge)),
    received: received.filter(({ webhookId }) => eventIds.has(webhookId) || named.has(webhookId)),
    products: rows.products.filter(({ sku }) => isOfStock && named.has(sku)),
  };
}

/** Everything as marks and arrows. Also says what is missing. */
export function foundAtEnd(has: Belongings, subject: Subject): Omit<Drawn, 'at'>[] {
  const hasObject = has.charges.length + has.refunds.length + has.orders.length > 0;
  const isUnrecorded = subject.attempts.length > 0 && has.records.length === 0;
  return [
    ...at('database', isUnrecorded ? ['no record of this key'] : []),
    ...at(
      'database',
      has.charges.map(({ id, status, amount, order }) =>
        [`charge ${short(id)}: ${status}, ${amount}`, order && `for ${order}`]
          .filter(Boolean)
          .join(' '),
      ),
    ),
    ...at(
      'database',
      has.refunds.map(({ id, status, amount }) => `refund ${short(id)}: ${status}, ${amount}`),
    ),
    ...at(
      'database',
      has.orders.map(({ id, status }) => `order ${short(id)}: ${status}`),
    ),
    ...at(
      'database',
      hasObject || subject.markers.length === 0 ? [] : ['no charge, refund or order of this key'],
    ),
    ...at(
      'database',
      has.products.map(
        ({ account, sku, initial, onHand, held }) =>
          `stock of ${sku} of ${account}: ${initial} at first, ${onHand} on hand, ${held} held`,
      ),
    ),
    ...at(
      'processor',
      has.payments.map(({ id, status, amount }) => `payment ${short(id)}: ${status}, ${amount}`),
    ),
    ...at('processor', has.charges.length > 0 && has.payments.length === 0 ? ['no payment'] : []),
    ...at(
      'processor',
      has.givenBack.map(({ id, status, amount }) => `refund ${short(id)}: ${status}, ${amount}`),
    ),
    ...at(
      'database',
      has.events.map(({ id, type }) => `event ${type}, ${short(id)}`),
    ),
    ...at(
      'worker',
      has.fulfillments.map(({ id, order }) => `shipment ${short(id)} of ${order}`),
    ),
    ...at(
      'mail',
      counted(
        has.mails,
        ({ messageId }) => `receipt ${short(messageId.replace(/^<(?:receipt\.)?/, ''))}`,
      ),
      'worker',
    ),
    ...at('receiver', webhooks(has.received), 'worker'),
  ];
}

/** Marks on one line, or messages to it. */
function at(to: Actor, texts: string[], from: Actor = to): Omit<Drawn, 'at'>[] {
  const kind = from === to ? ('note' as const) : ('message' as const);
  const more = texts.length - MOST;
  const shown = more > 0 ? [...texts.slice(0, MOST), `${more} more are left out`] : texts;
  return shown.map((text) => ({ kind, from, to, text }));
}

/** `3 × webhook evt_1, bytes 1`: equal bytes have one number. */
function webhooks(received: Digest['received']): string[] {
  const bodies = groupBy(received, ({ webhookId }) => webhookId);
  return counted(received, ({ webhookId, body }) => {
    const kinds = [...new Set(bodies.get(webhookId)!.map((each) => each.body))];
    const bytes = kinds.length > 1 ? `, bytes ${kinds.indexOf(body) + 1}` : '';
    return `webhook ${short(webhookId)}${bytes}`;
  });
}

function counted<T>(items: T[], nameOf: (item: T) => string): string[] {
  return [...groupBy(items, nameOf)].map(([name, { length }]) =>
    length > 1 ? `${length} × ${name}` : name,
  );
}

/** An id shortened to fit a label: `ch_1a2b3c…`. The tables show it in full. */
const short = (id: string) => (id.length > 14 ? `${id.slice(0, 12)}…` : id);

export function tablesOf(has: Belongings): { tables: RowsTable[]; reconciled: Reconciled } {
  const taken = has.payments.filter(({ status }) => status === 'succeeded');
  return {
    tables: [
      table('idempotency record', has.records, ['key', 'state', 'status']),
      table('charge', has.charges, ['account', 'id', 'status', 'amount', 'refunded', 'order']),
      table('refund', has.refunds, ['account', 'id', 'charge', 'status', 'amount']),
      table('order', has.orders, ['id', 'status', 'charge']),
      table('stock', has.products, ['account', 'sku', 'initial', 'onHand', 'held']),
      table('event', has.events, ['id', 'type', 'object']),
      table('payments', has.payments, ['id', 'status', 'amount']),
      table('payments given back', has.givenBack, ['id', 'refund', 'payment', 'amount', 'status']),
      table('e-mails', has.mails, ['messageId', 'charge']),
    ].filter(({ rows }) => rows.length > 0),
    reconciled: {
      charges: has.charges.length,
      payments: taken.length,
      receipts: new Set(has.mails.map(({ messageId }) => messageId)).size,
      paidMinor: taken.reduce((sum, { amount }) => sum + amount, 0),
    },
  };
}

function table<Row>(name: string, rows: Row[], columns: (keyof Row & string)[]): RowsTable {
  const shown = rows
    .slice(0, MOST)
    .map((row) => columns.map((column) => String(row[column] ?? '')));
  return { name, columns, rows: shown };
}
