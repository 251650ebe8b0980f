import type { RuleName } from '../../../src/proof/checker/check.js';
import { declined, OPEN, REUSED, story, type Story } from './story.js';

// Histories about what follows from a charge: the order that it pays, its refunds, events and receipt.

const asks = (members: object) => ({ body: JSON.stringify(members) });
const mailed = (to: string) =>
  story()
    .ask(asks({ receipt_email: 'k@shop.example' }))
    .ok(1)
    .paid('k', { hasReceipt: true })
    .mail('m1', 'ch_k', to);

export const LEGAL_CONSEQUENCES: [string, Story][] = [
  ['a receipt goes to the address in the request', mailed('k@shop.example')],
  [
    'a receipt goes to the address of the request that was answered',
    mailed('k@shop.example')
      .ask(asks({ receipt_email: 'l@shop.example' }))
      .fail(2, REUSED),
  ],
  ['a refund of its own payment', refunded('pi_1')],
  [
    'a refund succeeds and fails later',
    story().paid().event('ch_k', { type: 'charge.refunded' }).refund('r', { status: 'failed' }),
  ],
  ['an order is canceled', canceled(story().order('o', { status: 'canceled' }))],
  ['an order that cannot be delivered is canceled, and its charge refunded', undelivered()],
  [
    'the refund of a canceled order fails later',
    undelivered({ refunded: 0 }, { status: 'failed' }).event('ch_k', { type: 'charge.refunded' }),
  ],
  [
    'a paid order is canceled later',
    story().read('o', 'paid').read('o', 'canceled').read('o', 'canceled').canceled(),
  ],
  [
    'two accounts have an order with one id',
    story()
      .sold()
      .read('o', 'paid')
      .order('o', { account: 'b', marker: 'b/order-o' })
      .read('o', 'open', { account: 'b' }),
  ],
];

export const ILLEGAL_CONSEQUENCES: [RuleName, string, Story][] = [
  [
    'a paid order has its charge',
    'paid by no charge',
    story().order('o', { status: 'paid' }).event('o', { type: 'order.paid' }).shipment(),
  ],
  [
    'a paid order has its charge',
    'open after its charge',
    story().paid('k', { order: 'o' }).order(),
  ],
  ['a paid order has its charge', 'it names another', story().sold('k', 'o', { charge: 'ch_2' })],
  ['a paid order has its charge', 'there is no such order', story().paid('k', { order: 'o' })],
  [
    'a paid order has its charge',
    'another amount than the order',
    story().sold('k', 'o', { items: [{ sku: 's', quantity: 2, unit_amount: 6 }] }),
  ],
  ['a receipt goes to its customer', 'to another address', mailed('l@shop.example')],
  ['a receipt goes to its customer', 'about no charge', story().paid().mail('m1', '')],
  [
    'final states stay',
    'a succeeded charge has failed at the end',
    declined(story().read('ch_k', 'succeeded')),
  ],
  [
    'one event',
    'of a failure that was none',
    story().paid().event('ch_k', { type: 'charge.failed' }),
  ],
  [
    'one event',
    'a failure without one',
    story().record('k', 'no', 402).charge('k', { status: 'failed' }),
  ],
  ['one event', 'an order is paid twice', story().sold().event('o', { type: 'order.paid' })],
  ['one event', 'of a charge that does not exist', story().event('ch_2')],
  [
    'one event',
    'a refund without one',
    story().paid('k', { refunded: 4 }).refund('r').silent().givenBack('r'),
  ],
  [
    'one event',
    'a refund that did not succeed',
    story().paid().event('ch_k', { type: 'charge.refunded' }),
  ],
  [
    'one event',
    'a failed refund has two',
    story().paid().refund('r', { status: 'failed' }).event('re_r', { type: 'refund.failed' }),
  ],
  [
    'one event',
    'a shipment is created twice',
    story().sold().event('f_1', { type: 'fulfillment.created' }),
  ],
  ['one event', 'a canceled order without one', story().order('o', { status: 'canceled' })],
  [
    'one event',
    'an order that was not paid',
    canceled(story().order('o', { status: 'canceled' })).event('o', { type: 'order.paid' }),
  ],
  ['one shipment', 'of no order', story().shipment()],
  [
    'a paid order has its charge',
    'canceled, and the money is not given back',
    undelivered({ refunded: 4 }, { amount: 4 }),
  ],
  [
    'final states stay',
    'canceled after it was paid, then paid',
    story().read('o', 'paid').read('o', 'canceled').read('o', 'paid').canceled(),
  ],
  ['refunds agree', "of another key's payment", refunded('pi_2').paid('l')],
  ['refunds agree', 'of a payment that does not exist', refunded('pi_3')],
  [
    'a receipt goes to its customer',
    'to the address of a request that was refused',
    mailed('l@shop.example')
      .ask(asks({ receipt_email: 'l@shop.example' }))
      .fail(2, REUSED),
  ],
  [
    'a refused key is unused',
    'a charge under a key that no request has',
    story().ask().ok(1).paid().paid('other').unasked(),
  ],
  ['stock agrees', 'sold and still held', story().sold().product(10, 2)],
  [
    'refunds agree',
    'of a charge that has failed',
    declined(story(), { refunded: 4 }).refund('r').givenBack('r'),
  ],
  [
    '409 needs another request',
    'another body after the answer, and a lost request before',
    story().ask().lost(1).ask().ok(2).ask({ body: 'B' }).fail(3, OPEN, 409).paid(),
  ],
];

/** A refund of the first payment, by the processor's ledger of that one. */
function refunded(payment: string): Story {
  return story().paid('k', { refunded: 4 }).refund('r').givenBack('r', 4, 'succeeded', payment);
}

function canceled(of: Story): Story {
  return of.event('o', { type: 'order.canceled' });
}

/** The stock of a paid order was corrected to less than it needs. */
function undelivered(
  charge: Parameters<Story['charge']>[1] = {},
  refund: Parameters<Story['refund']>[1] = {},
): Story {
  const { status = 'succeeded', amount = 10 } = refund;
  const of = story()
    .paid('k', { order: 'o', refunded: 10, ...charge })
    .order('o', { status: 'canceled', charge: 'ch_k' })
    .event('o', { type: 'order.paid' })
    .refund('r', { amount, status })
    .givenBack('r', amount, status);
  return canceled(of);
}
