/** What each member of a request is, by name, or by class and name where one name has two meanings. */
export const MEMBERS: Readonly<Record<string, string>> = {
  amount:
    'In the minor unit of the currency: 1999 is 19.99 USD. In a currency of three decimals (BHD, JOD, KWD, OMR, TND) it ends in 0. With `order` it may be left out.',
  'CreateRefund.amount':
    'In the minor unit of the currency. Left out: all that is left, fixed when the refund begins.',
  currency:
    'A lower-case ISO 4217 code. Not every one: the processor must take the currency, and count it in ISO 4217’s minor unit (it does not for ISK, MGA and UGX).',
  payment_method: 'How to pay; Stripe’s own test names work: `pm_card_visa`.',
  description: 'Shown to the customer by the processor.',
  receipt_email: 'Where the receipt goes.',
  order:
    'The order that this charge pays. Recommended: an order takes one payment, whatever the key.',
  metadata: 'Up to 50 pairs of your own. Not a place for secrets or card data.',
  reason: 'Why the money goes back; for your own books.',
  items: 'What is sold. Quantities times unit amounts add up to 1 to 99 999 999.',
  sku: 'Your article number. One without a product is not tracked.',
  quantity: 'How many.',
  unit_amount: 'For one, in the minor unit of the currency.',
  email: 'Of the customer.',
  name: 'What it is called.',
  on_hand: 'How many there are. What is promised to charges that have not ended is `held`.',
  limit: '1 to 100, 10 if left out.',
  starting_after: 'An id: the page goes on after it. Not together with `ending_before`.',
  ending_before:
    'An id: the page ends before it. What commits late is not there yet: see “Following a list”.',
  status: 'Only those in this state.',
  'ListCharges.order': 'Only those for this order.',
  type: 'Only those of this type.',
  'created[gte]': 'Made at this time or later. Without an offset it is UTC.',
  'created[lt]': 'Made before this time.',
  url: 'Where deliveries are sent: https, and a public address, without blanks or invisible characters.',
  events: 'Which events to send; `*` is all, those of later versions included.',
};
