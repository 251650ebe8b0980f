import type { Rows } from '../history.js';
import { groupBy } from './digest.js';
import type { Finding, Rule } from './violation.js';

/** How many events of a type an object has. */
interface Expected {
  account: string;
  id: string;
  status: string;
  marker?: string;
  type: string;
  least: number;
  /** Default: `least`. */
  most?: number;
}

/** Each change has one event that reports it, and there are no other events. */
export const eventsOnce: Rule = ({ rows }) => {
  const groups = groupBy(
    rows.events,
    ({ account, type, object }) => `${account} ${type} ${object}`,
  );
  const findings = expectedOf(rows).flatMap((expected): Finding[] => {
    const { account, id, status, marker, type, least, most = least } = expected;
    const name = `${account} ${type} ${id}`;
    const { length } = groups.get(name) ?? [];
    groups.delete(name);
    if (length >= least && length <= most) return [];
    return [{ says: `${id} is ${status} and has ${length} ${type}`, marker }];
  });
  for (const { id, type, object } of [...groups.values()].flat())
    findings.push({ says: `${id} says ${type} of ${object}, which does not exist` });
  return findings;
};

function expectedOf({ charges, refunds, orders, fulfillments }: Rows): Expected[] {
  const refundsOf = groupBy(refunds, ({ account, charge }) => `${account} ${charge}`);
  const sold = new Set(
    charges
      .filter(({ status }) => status === 'succeeded')
      .map(({ account, order }) => `${account} ${order}`),
  );
  return [
    ...charges.flatMap((charge) => {
      const { account, id, status } = charge;
      const ended = (refundsOf.get(`${account} ${id}`) ?? []).map((each) => each.status);
      const given = ended.filter((each) => each === 'succeeded').length;
      // A refund that has failed may have succeeded before.
      const most = given + ended.filter((each) => each === 'failed').length;
      return [
        { ...charge, type: 'charge.succeeded', least: Number(status === 'succeeded') },
        { ...charge, type: 'charge.failed', least: Number(status === 'failed') },
        { ...charge, type: 'charge.refunded', least: given, most },
      ];
    }),
    ...refunds.map((refund) => {
      return { ...refund, type: 'refund.failed', least: Number(refund.status === 'failed') };
    }),
    ...orders.flatMap((order) => {
      const { account, id, status } = order;
      const isCanceled = status === 'canceled';
      const wasPaid = status === 'paid' || (isCanceled && sold.has(`${account} ${id}`));
      return [
        { ...order, type: 'order.paid', least: Number(wasPaid) },
        { ...order, type: 'order.canceled', least: Number(isCanceled) },
      ];
    }),
    ...fulfillments.map((made) => {
      return { ...made, status: 'made', type: 'fulfillment.created', least: 1 };
    }),
  ];
}
