import canonicalize from 'canonicalize';
import type { ChargeRow, Rows } from '../history.js';
import {
  answered,
  groupBy,
  makersOf,
  membersOf,
  type Attempt,
  type Digest,
  type KeyHistory,
} from './digest.js';
import type { Finding, Rule } from './violation.js';

// The object that a key made: what its answer shows, and what its request asked for.

/** An object of any kind, with what both a request and a row say about it. */
interface Made {
  kind: 'charge' | 'refund' | 'order';
  id: string;
  status: string;
  asked: Record<string, unknown>;
}

/** The final answer of a key, and which request got it. */
interface Final {
  who: string;
  status: number | undefined;
  answer: string;
}

/**
 * The object that a final answer shows exists, as the answer shows it, even if no client has seen the answer. 402 is
 * for failures; 201 shows a charge or a refund that has succeeded, or an order. No other answer is final.
 */
export const answerIsTrue: Rule = (known) => {
  const objects = objectsOf(known);
  return known.keys.flatMap((history) => {
    const final = finalOf(history, known);
    if (!final) return [];
    const { who, status } = final;
    const { marker } = history;
    const found = (says: string) => [{ says, marker }];
    if (status !== 201 && status !== 402) return found(`${who} was finally answered ${status}`);
    const shown = shownBy(final);
    const all = objects.get(marker) ?? [];
    const made = all.find(({ id }) => id === shown.id) ?? all[0];
    if (!made) return found(`${who} was answered, and no object exists`);
    const { id } = shown;
    if (typeof id === 'string' && id !== made.id)
      return found(`the answer of ${who} shows ${id}, its key made ${made.id}`);
    if (!isOutcome(made, status))
      return found(`${who} was answered ${status}, and ${made.id} is ${made.status}`);
    const { kind, asked } = made;
    const expected = kind === 'order' || status === 402 ? asked : { ...asked, status: 'succeeded' };
    if (agree(expected, shown)) return [];
    return found(`the answer of ${who} is not about ${JSON.stringify(expected)}, as ${made.id} is`);
  });
};

/** The answer that a client has received, otherwise the one that is stored for a retry. */
function finalOf(history: KeyHistory, { recordOf }: Digest): Final | undefined {
  const [seen] = answered(history);
  if (seen) return { who: `#${seen.n}`, status: seen.status, answer: seen.answer ?? '' };
  const { status, body } = recordOf.get(history.marker) ?? { status: null, body: null };
  return status === null ? undefined : { who: 'a lost request', status, answer: body ?? '' };
}

/** Whether an object can be in its state after the answer. A refund may fail after it has succeeded. */
function isOutcome({ kind, status: state }: Made, status: 201 | 402): boolean {
  if (status === 402) return state === 'failed';
  if (kind === 'refund') return state !== 'pending';
  return kind === 'order' || state === 'succeeded';
}

/** An object is what one of its key's requests asked for: the answered request, or one that may have written it. */
export const madeAsAsked: Rule = (known) => {
  const objects = objectsOf(known);
  return known.keys.flatMap((history) => {
    const { marker } = history;
    const makers = makersOf(history);
    if (makers.length === 0) return []; // refusedWritesNothing finds what refused requests made
    // If no request was answered, the maker may have been sent after the history was read.
    const atRest = answered(history).length === 0;
    return (objects.get(marker) ?? [])
      .filter(({ asked }) => !makers.some((each) => agree(asked, askedBy(each))))
      .map(({ id, asked }) => {
        const says = `${id} has ${JSON.stringify(asked)}, which no request asked for`;
        return { says, marker, atRest };
      });
  });
};

/**
 * A paid order names its one succeeded charge. A succeeded charge of an order has paid that order, or was refunded
 * because the service canceled the order when it could not deliver.
 */
export const paidOrderHasCharge: Rule = ({ rows }) => {
  const paying = groupBy(
    rows.charges.filter(({ order, status }) => order !== null && status === 'succeeded'),
    ({ account, order }) => `${account} ${order}`,
  );
  const findings = rows.orders.flatMap((order): Finding[] => {
    const { account, id, status, charge, items, marker } = order;
    const found = (says: string) => [{ says: `the order ${id} ${says}`, marker }];
    const paid = pick(paying.get(`${account} ${id}`) ?? [], charge);
    paying.delete(`${account} ${id}`);
    const isSold =
      status === 'paid' || (status === 'canceled' && paid !== undefined && isGivenBack(paid, rows));
    if (isSold !== (paid !== undefined))
      return found(`is ${status}, its charge is ${paid?.id ?? 'none'}`);
    if (!paid) return [];
    if (paid.id !== charge) return found(`names ${charge}, and ${paid.id} has paid it`);
    const total = items.reduce((sum, each) => sum + each.quantity * each.unit_amount, 0);
    return paid.amount === total ? [] : found(`costs ${total}, and ${paid.id} is ${paid.amount}`);
  });
  const lost = [...paying.values()].flat();
  return [
    ...findings,
    ...lost.map(({ id, order, marker }) => ({ says: `${id} has paid ${order}, no order`, marker })),
  ];
};

/** Whether refunds cover the whole charge. A refund that failed later counts: it does not pay the order again. */
const isGivenBack = ({ account, id, amount }: ChargeRow, { refunds }: Rows) =>
  refunds
    .filter((each) => each.account === account && each.charge === id && each.status !== 'pending')
    .reduce((sum, each) => sum + each.amount, 0) >= amount;

/** A receipt goes to the address of the request that made its charge, and to no other. */
export const receiptToCustomer: Rule = ({ rows, mails, keyOf }) => {
  const charges = new Map(rows.charges.map((each) => [each.id, each]));
  return mails.flatMap(({ messageId, charge, to }): Finding[] => {
    const marker = charges.get(charge)?.marker;
    if (marker === undefined) return [{ says: `the message ${messageId} is about no charge` }];
    const history = keyOf.get(marker);
    const makers = history ? makersOf(history) : [];
    if (to === undefined || makers.length === 0) return [];
    if (makers.some(({ body }) => membersOf(body)?.receipt_email === to)) return [];
    const says = `the receipt of ${charge} went to ${to}, whom no request names`;
    return [{ says, marker, atRest: answered(history!).length === 0 }];
  });
};

/** The charge that the order names, or any. Another rule finds that there are two. */
const pick = (charges: ChargeRow[], named: string | null) =>
  charges.find(({ id }) => id === named) ?? charges[0];

function objectsOf({ rows }: Digest): Map<string, Made[]> {
  const objects: (Made & { marker: string })[] = [
    ...rows.charges.map(({ order, amount, hasReceipt, ...charge }) => {
      return { kind: 'charge' as const, ...charge, asked: { amount, order, receipt: hasReceipt } };
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

/** What a request asked for. The service may choose omitted values, but must not add an order or a receipt. */
function askedBy({ body, operation }: Attempt): Record<string, unknown> {
  const members = membersOf(body);
  const charge = /\/charges\/(\w+)\/refunds$/.exec(operation)?.[1];
  if (!members || operation !== 'POST /charges') return { charge, ...members };
  return { order: null, ...members, receipt: members.receipt_email !== undefined };
}

/** Members that only one side has are not compared. */
const agree = (a: Record<string, unknown>, b: Record<string, unknown>) =>
  Object.entries(a).every(
    ([name, value]) => b[name] === undefined || canonicalize(b[name]) === canonicalize(value),
  );

/** The object in a 201. In a problem, only the id of its charge or refund. */
function shownBy({ answer, status }: Final): Record<string, unknown> {
  const members = membersOf(answer) ?? {};
  return status === 402 ? { id: members.refund ?? members.charge } : members;
}
