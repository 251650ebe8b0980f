import type { ChargeRow } from '../history.js';
import {
  answered,
  groupBy,
  isSameRequest,
  mayHaveWritten,
  type Attempt,
  type Digest,
} from './digest.js';
import type { Finding, Rule } from './violation.js';

// What a key made: the object that its answer shows, as its request asked for it.

/** An object of any kind, with what both a request and a row say about it. */
interface Made {
  kind: 'charge' | 'refund' | 'order';
  id: string;
  status: string;
  asked: Record<string, unknown>;
}

/** The object that a final answer shows exists, and its state is the answer's: 402 for what failed, else 201. */
export const answerIsTrue: Rule = (known) => {
  const objects = objectsOf(known);
  return known.keys.flatMap((history) => {
    const [first] = answered(history);
    if (!first) return [];
    const { marker } = history;
    const [made] = objects.get(marker) ?? [];
    if (!made) return [{ says: `#${first.n} was answered, and no object exists`, marker }];
    const shown = shownBy(first);
    if (shown !== undefined && shown !== made.id)
      return [
        { says: `the answer of #${first.n} shows ${shown}, its key made ${made.id}`, marker },
      ];
    // A refund that has succeeded may fail later: the processor says so.
    const isTrue = made.kind === 'refund' || (made.status === 'failed') === (first.status === 402);
    const says = `#${first.n} was answered ${first.status}, and ${made.id} is ${made.status}`;
    return isTrue ? [] : [{ says, marker }];
  });
};

/** An object is what one of its key's requests asked for: the answered one, or one that may have written it. */
export const madeAsAsked: Rule = (known) => {
  const objects = objectsOf(known);
  return known.keys.flatMap((history) => {
    const { attempts, marker } = history;
    const [first] = answered(history);
    const asking = attempts.filter((each) =>
      first ? isSameRequest(each, first) : mayHaveWritten(each),
    );
    return (objects.get(marker) ?? []).flatMap(({ id, asked }): Finding[] => {
      if (asking.length === 0 || asking.some((each) => isAsked(asked, each))) return [];
      return [{ says: `${id} has ${JSON.stringify(asked)}, which no request asked for`, marker }];
    });
  });
};

/** A paid order has one succeeded charge, which it names. A succeeded charge of an order has paid it. */
export const paidOrderHasCharge: Rule = ({ rows }) => {
  const paying = groupBy(
    rows.charges.filter(({ order, status }) => order !== null && status === 'succeeded'),
    ({ account, order }) => `${account} ${order}`,
  );
  const findings = rows.orders.flatMap(
    ({ account, id, status, charge, items, marker }): Finding[] => {
      const paid = pick(paying.get(`${account} ${id}`) ?? [], charge);
      paying.delete(`${account} ${id}`);
      if ((status === 'paid') !== (paid !== undefined))
        return [
          { says: `the order ${id} is ${status}, its charge is ${paid?.id ?? 'none'}`, marker },
        ];
      if (!paid) return [];
      if (paid.id !== charge)
        return [{ says: `the order ${id} names ${charge}, and ${paid.id} has paid it`, marker }];
      const total = items.reduce(
        (sum, { quantity, unit_amount }) => sum + quantity * unit_amount,
        0,
      );
      const says = `the order ${id} costs ${total}, and ${paid.id} is ${paid.amount}`;
      return paid.amount === total ? [] : [{ says, marker }];
    },
  );
  const lost = [...paying.values()].flat();
  return [
    ...findings,
    ...lost.map(({ id, order, marker }) => ({ says: `${id} has paid ${order}, no order`, marker })),
  ];
};

/** A receipt goes to the address of its own charge's request, and to no other. */
export const receiptToCustomer: Rule = ({ rows, mails, keyOf }) => {
  const charges = new Map(rows.charges.map((each) => [each.id, each]));
  return mails.flatMap(({ messageId, charge, to }): Finding[] => {
    const marker = charges.get(charge)?.marker;
    if (marker === undefined) return [{ says: `the message ${messageId} is about no charge` }];
    const attempts = keyOf.get(marker)?.attempts ?? [];
    if (to === undefined || attempts.length === 0) return [];
    if (attempts.some(({ body }) => membersOf(body).receipt_email === to)) return [];
    return [{ says: `the receipt of ${charge} went to ${to}, whom no request names`, marker }];
  });
};

/** The charge that the order names; else any. Another rule finds that there are two. */
const pick = (charges: ChargeRow[], named: string | null) =>
  charges.find(({ id }) => id === named) ?? charges[0];

function objectsOf({ rows }: Digest): Map<string, Made[]> {
  const objects = [
    ...rows.charges.map(({ order, amount, ...charge }) => {
      const asked = order === null ? { amount } : { amount, order };
      return { kind: 'charge' as const, ...charge, asked };
    }),
    ...rows.refunds.map(({ amount, charge, ...refund }) => {
      return { kind: 'refund' as const, ...refund, asked: { amount, charge } };
    }),
    ...rows.orders.map(({ items, ...order }) => {
      return { kind: 'order' as const, ...order, asked: { items } };
    }),
  ];
  return groupBy(objects, ({ marker }) => marker);
}

/** Members that the request leaves out, or that the history does not show, are not compared. */
function isAsked(asked: Record<string, unknown>, { body, operation }: Attempt): boolean {
  const charge = /\/charges\/(\w+)\/refunds$/.exec(operation)?.[1];
  const wanted: Record<string, unknown> = { charge, ...membersOf(body) };
  return Object.entries(asked).every(
    ([name, value]) =>
      wanted[name] === undefined || JSON.stringify(wanted[name]) === JSON.stringify(value),
  );
}

/** The id in a 201, and the charge or refund that a 402 is about. */
function shownBy({ answer = '', status }: Attempt): string | undefined {
  const { id, charge, refund } = membersOf(answer);
  const shown = status === 402 ? (refund ?? charge) : id;
  return typeof shown === 'string' ? shown : undefined;
}

function membersOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {}; // a broken answer is no answer about an object
  }
}
