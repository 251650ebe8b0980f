import { groupBy } from './digest.js';
import type { Finding, Rule } from './violation.js';

// What follows from a charge or an order: each effect once.

/** A succeeded charge with an address has one receipt: copies have one Message-ID. Others have none. */
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

/** A paid order has one shipment, no other order has one, and none is for no order. */
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

/** A merchant receives each event at least once, only real ones, and each copy has the same bytes. */
export const deliveriesAgree: Rule = ({ rows, received }) => {
  const copies = groupBy(received, ({ account, webhookId }) => `${account} ${webhookId}`);
  const known = new Set(rows.events.map(({ account, id }) => `${account} ${id}`));
  const findings: Finding[] = [];
  for (const [name, [first, ...others]] of copies) {
    if (!known.has(name)) findings.push({ says: `${name} was delivered and is no event` });
    else if (others.some(({ body }) => body !== first!.body))
      findings.push({ says: `${name} was delivered with different bytes` });
  }
  for (const { account, event, status } of rows.deliveries)
    if (status === 'succeeded' && !copies.has(`${account} ${event}`))
      findings.push({
        says: `${event} counts as delivered, and the merchant never got it`,
        atRest: true,
      });
  const merchants = new Set(rows.deliveries.map(({ account }) => account));
  const planned = new Set(rows.deliveries.map(({ account, event }) => `${account} ${event}`));
  for (const { account, id, isRelayed } of rows.events)
    if (merchants.has(account) && isRelayed && !planned.has(`${account} ${id}`))
      findings.push({ says: `${id} was relayed, and no delivery exists`, atRest: true });
  return findings;
};
