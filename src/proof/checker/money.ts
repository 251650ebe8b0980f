import type { ChargeRow } from '../history.js';
import { groupBy, type Digest } from './digest.js';
import type { Finding, Rule } from './violation.js';

// What rows and the processor's ledger must show together.

const taken = ({ ledger }: Digest) =>
  ledger.payments.filter(({ status }) => status === 'succeeded');

/** A key makes at most one object. */
export const oneObject: Rule = ({ rows, keyOf }) =>
  repeated([...rows.charges, ...rows.refunds, ...rows.orders], 'objects').filter(({ marker }) =>
    keyOf.has(marker),
  );

/** A key takes at most one payment. */
export const onePayment: Rule = (known) => repeated(taken(known), 'payments');

/** An order is paid at most once, whatever the keys. */
export const orderPaidOnce: Rule = (known) => {
  const orderOf = new Map(known.rows.charges.map(({ marker, order }) => [marker, order]));
  const paying = taken(known).filter(({ marker }) => orderOf.get(marker));
  const groups = groupBy(paying, ({ account, marker }) => `${account} ${orderOf.get(marker)}`);
  return [...groups]
    .filter(([, payments]) => new Set(payments.map(({ marker }) => marker)).size > 1)
    .map(([order, payments]) => ({
      says: `the order ${order} is paid by ${payments.map(({ id }) => id).join(' and ')}`,
      marker: payments[1]!.marker,
    }));
};

/** Each succeeded charge has a payment of its amount, and each payment has a charge that did not fail. */
export const sumsAgree: Rule = (known) => {
  const { charges } = known.rows;
  const payments = new Map(taken(known).map((each) => [each.marker, each]));
  const byMarker = new Map(charges.map((each) => [each.marker, each]));
  const findings: Finding[] = [];
  for (const { id, marker, status, amount } of charges) {
    const payment = payments.get(marker);
    if (status === 'succeeded' && !payment)
      findings.push({
        says: `${id} succeeded, and the processor has no payment`,
        marker,
        atRest: true,
      });
    if (status === 'failed' && payment)
      findings.push({ says: `${id} failed, and the processor took ${payment.id}`, marker });
    if (payment && payment.amount !== amount)
      findings.push({ says: `${id} is ${amount}, the payment ${payment.amount}`, marker });
  }
  for (const { id, marker } of payments.values())
    if (!byMarker.has(marker)) findings.push({ says: `${id} was taken without a charge`, marker });
  return findings;
};

/** Each succeeded refund is a refund of the charge's payment at the processor. Their sum is what the charge shows. */
export const refundsAgree: Rule = ({ rows, ledger }) => {
  const payments = new Map(ledger.payments.map((each) => [each.id, each.marker]));
  const paidBy = new Map(rows.charges.map((each) => [each.id, each.marker]));
  const atProcessor = groupBy(
    ledger.refunds.filter(({ status }) => status === 'succeeded'),
    ({ refund }) => refund,
  );
  const findings: Finding[] = [];
  for (const { id, status, marker, amount, charge } of rows.refunds) {
    const made = atProcessor.get(id) ?? [];
    const other = made.find(
      ({ payment }) => payment && payments.get(payment) !== paidBy.get(charge),
    );
    if (other)
      findings.push({
        says: `${id} is of ${charge}, and ${other.id} gave ${other.payment} back`,
        marker,
        atRest: !payments.has(other.payment!), // the payments were read before the refunds
      });
    const sum = made.reduce((total, each) => total + each.amount, 0);
    const expected = status === 'succeeded' ? amount : 0;
    if (status !== 'pending' && sum !== expected)
      findings.push({
        says: `${id} is ${status} over ${amount}, the processor gave ${sum}`,
        marker,
        atRest: sum < expected,
      });
  }
  const known = new Set(rows.refunds.map(({ id }) => id));
  for (const [refund, [first]] of atProcessor)
    if (!known.has(refund)) findings.push({ says: `${first!.id} was given back without a row` });
  const byCharge = groupBy(rows.refunds, ({ charge }) => charge);
  for (const { id, status, amount, refunded, marker } of rows.charges) {
    const sum = (byCharge.get(id) ?? [])
      .filter(({ status }) => status === 'succeeded')
      .reduce((total, each) => total + each.amount, 0);
    if (sum !== refunded || sum > amount)
      findings.push({
        says: `${id} of ${amount} says ${refunded} refunded, its rows ${sum}`,
        marker,
      });
    else if (sum > 0 && status !== 'succeeded')
      findings.push({ says: `${id} is ${status}, and ${sum} of it were refunded`, marker });
  }
  return findings;
};

/** Stock is never negative. What is gone or held was bought, and only a pending charge holds stock. */
export const stockAgrees: Rule = ({ rows }) => {
  const sold = new Map<string, number>();
  for (const { account, items } of rows.orders.filter(({ status }) => status === 'paid'))
    for (const { sku, quantity } of items)
      sold.set(`${account} ${sku}`, (sold.get(`${account} ${sku}`) ?? 0) + quantity);
  return rows.products.flatMap(({ account, sku, initial, onHand, held }) => {
    if (onHand < 0 || held < 0) return [{ says: `${sku}: on hand ${onHand}, held ${held}` }];
    const gone = initial - onHand + held;
    const bought = sold.get(`${account} ${sku}`) ?? 0;
    const found = (says: string) => [{ says: `${account} ${sku}: ${says}`, atRest: true }];
    if (gone !== bought) return found(`${gone} are gone or held, ${bought} were bought`);
    const isHeld = held === 0 || rows.charges.some((each) => isPendingSale(each, account));
    return isHeld ? [] : found(`${held} are held, and no charge is pending`);
  });
};

const isPendingSale = (charge: ChargeRow, account: string) =>
  charge.account === account && charge.order !== null && charge.status === 'pending';

function repeated<T extends { id: string; marker: string }>(
  items: T[],
  what: string,
): (Finding & { marker: string })[] {
  return [...groupBy(items, ({ marker }) => marker)]
    .filter(([, { length }]) => length > 1)
    .map(([marker, found]) => ({
      says: `${found.length} ${what}: ${found.map(({ id }) => id).join(', ')}`,
      marker,
    }));
}
