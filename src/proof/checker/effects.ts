import type { Delivery, EventRow } from '../history.js';
import { groupBy, membersOf } from './digest.js';
import type { Finding, Rule } from './violation.js';

// The effects of a charge or an order: each happens once.

/** A succeeded charge with an address has one receipt, whose copies have one Message-ID. Other charges have none. */
export const receiptsOnce: Rule = ({ rows, mails }) => {
  const sent = groupBy(mails, ({ charge }) => charge);
  return rows.charges.flatMap(({ id, status, hasReceipt, marker }) => {
    const ids = new Set((sent.get(id) ?? []).map(({ messageId }) => messageId));
    const expected = status === 'succeeded' && hasReceipt ? 1 : 0;
    return ids.size === expected
      ? []
      : [
          {
            says: `${id} is ${status} and has ${ids.size} different receipts`,
            marker,
            atRest: ids.size < expected,
          },
        ];
  });
};

/** A paid order has one shipment, any other order has none, and each shipment has an order. */
export const fulfillmentsOnce: Rule = ({ rows }) => {
  const shipped = groupBy(rows.fulfillments, ({ account, order }) => `${account} ${order}`);
  const findings = rows.orders.flatMap(({ account, id, status, marker }): Finding[] => {
    const { length } = shipped.get(`${account} ${id}`) ?? [];
    shipped.delete(`${account} ${id}`);
    const expected = status === 'paid' ? 1 : 0;
    const says = `the order ${id} is ${status} and has ${length} shipments`;
    return length === expected ? [] : [{ says, marker, atRest: length < expected }];
  });
  const lost = [...shipped.values()].flat();
  return [
    ...findings,
    ...lost.map(({ id, order }) => ({ says: `${id} ships ${order}, no order` })),
  ];
};

/**
 * A merchant receives each event at least once, by one delivery, and receives only events that exist. Each copy has the
 * same bytes, and contains what the event contains.
 */
export const deliveriesAgree: Rule = ({ rows, received }) => {
  const copies = groupBy(received, ({ account, webhookId }) => `${account} ${webhookId}`);
  const known = new Map(rows.events.map((event) => [`${event.account} ${event.id}`, event]));
  const planned = groupBy(rows.deliveries, ({ account, event }) => `${account} ${event}`);
  const findings: Finding[] = [];
  for (const [name, [first, ...others]] of copies) {
    const event = known.get(name);
    if (!event) findings.push({ says: `${name} was delivered and is no event` });
    else if (others.some(({ body }) => body !== first!.body))
      findings.push({ says: `${name} was delivered with different bytes` });
    else if (!isAbout(first!, event))
      findings.push({
        says: `${name} was delivered, and it does not say ${event.type} of ${event.object}`,
      });
  }
  for (const [name, [first, ...others]] of planned) {
    const { event, status } = first!;
    if (others.length > 0) findings.push({ says: `${event} has ${others.length + 1} deliveries` });
    else if (status === 'succeeded' && !copies.has(name))
      findings.push({
        says: `${event} counts as delivered, and the merchant never got it`,
        atRest: true,
      });
  }
  const merchants = new Set(rows.deliveries.map(({ account }) => account));
  for (const { account, id, isRelayed } of rows.events)
    if (merchants.has(account) && isRelayed && !planned.has(`${account} ${id}`))
      findings.push({ says: `${id} was relayed, and no delivery exists`, atRest: true });
  return findings;
};

/** Whether a webhook contains the event's id, its type and its object. */
function isAbout({ body }: Delivery, { id, type, object }: EventRow): boolean {
  const said = membersOf(body);
  const about = (said?.data as { object?: { id?: unknown } } | undefined)?.object?.id;
  return said?.id === id && said.type === type && about === object;
}
