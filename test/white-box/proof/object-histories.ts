import type { RuleName } from '../../../src/proof/checker/check.js';
import { declined, REUSED, story, type Story } from './story.js';

// Histories about what a key made: whether it is what the answer shows, what the request asked for, and whose it is.

const REFUND = { key: 'r', operation: 'POST /charges/ch_k/refunds' };
const ORDER = {
  operation: 'POST /orders',
  body: '{"items":[{"sku":"s","quantity":2,"unit_amount":5}]}',
};
const asks = (members: object) => ({ body: JSON.stringify(members) });
const SHOWN = '{"id":"ch_k"}';
const shown = (of: Story) => of.ok(1, SHOWN).record('k', SHOWN).charge().payment().event();
const mailed = (to: string) =>
  story()
    .ask(asks({ receipt_email: 'k@shop.example' }))
    .ok(1)
    .paid('k', { hasReceipt: true })
    .mail('m1', 'ch_k', to);

export const LEGAL_OBJECTS: [string, Story][] = [
  ['an answer shows its charge', shown(story().ask())],
  ['a decline shows its charge', declinedWith('{"charge":"ch_k"}')],
  [
    'a refund fails after its answer',
    story()
      .ask({ ...REFUND, ...asks({ amount: 4 }) })
      .ok(1, '{"id":"re_r"}')
      .record('r', '{"id":"re_r"}')
      .paid()
      .refund('r', { status: 'failed' }),
  ],
  [
    'an order is what was asked for',
    story().ask(ORDER).lost(1).record().order('o', { marker: 'a/k' }),
  ],
  [
    'one of two lost requests made the charge',
    story()
      .ask(asks({ amount: 20 }))
      .lost(1)
      .ask(asks({ amount: 10 }))
      .lost(2)
      .paid(),
  ],
  [
    'a charge has the amount of its order',
    story()
      .ask(asks({ order: 'o' }))
      .ok(1)
      .sold()
      .product(8, 0),
  ],
  [
    'a read before the answer finds nothing',
    shown(story().ask().read('ch_k', undefined, { status: 404 })),
  ],
  [
    "another account's read finds nothing",
    shown(story().ask()).read('ch_k', undefined, { account: 'b', status: 404 }),
  ],
  ['a receipt goes to the address in the request', mailed('k@shop.example')],
  [
    'a refused request, and another that uses the key',
    story()
      .ask(asks({ amount: 20 }))
      .fail(1, 'payment_pending', 409)
      .ask(asks({ amount: 10 }))
      .ok(2)
      .ask(asks({ amount: 20 }))
      .fail(3, REUSED)
      .paid(),
  ],
];

export const ILLEGAL_OBJECTS: [RuleName, string, Story][] = [
  [
    'an answer is true',
    'a decline was answered, and the money was taken',
    story().ask().ok(1, 'no', 402).record('k', 'no', 402).charge().payment().event(),
  ],
  [
    'an answer is true',
    'a success was answered, and the charge failed',
    declined(story().ask().ok(1)).recordSays('paid', 201),
  ],
  ['an answer is true', 'nothing was made', story().ask().ok(1).record()],
  [
    'an answer is true',
    'a charge with another id',
    story()
      .ask()
      .ok(1, SHOWN)
      .record('k', SHOWN)
      .charge('k', { id: 'ch_2' })
      .payment()
      .event('ch_2'),
  ],
  ['an answer is true', 'a decline of another charge', declinedWith('{"charge":"ch_2"}')],
  [
    'an answer is true',
    'a refund that failed before its answer',
    story()
      .ask(REFUND)
      .ok(1, '{"refund":"re_2"}', 402)
      .record('r', '{"refund":"re_2"}', 402)
      .paid()
      .refund('r', { status: 'failed' }),
  ],
  [
    'made as asked',
    'another amount in all books',
    story()
      .ask(asks({ amount: 5 }))
      .ok(1)
      .paid(),
  ],
  [
    'made as asked',
    'the amount of a request that was refused',
    story()
      .ask(asks({ amount: 10 }))
      .fail(1, 'payment_pending', 409)
      .ask(asks({ amount: 5 }))
      .lost(2)
      .paid(),
  ],
  [
    'made as asked',
    'the amount of a request that was not answered',
    story()
      .ask(asks({ amount: 10 }))
      .lost(1)
      .ask(asks({ amount: 5 }))
      .ok(2)
      .paid(),
  ],
  [
    'made as asked',
    'another order',
    story()
      .ask(asks({ order: 'p' }))
      .ok(1)
      .sold(),
  ],
  [
    'made as asked',
    'a refund of another charge',
    story()
      .ask({ ...REFUND, operation: 'POST /charges/ch_2/refunds' })
      .lost(1)
      .paid('k', { refunded: 4 })
      .refund('r')
      .givenBack('r'),
  ],
  [
    'made as asked',
    'an order with other items',
    story()
      .ask(ORDER)
      .lost(1)
      .order('o', {
        marker: 'a/k',
        items: [{ sku: 's', quantity: 1, unit_amount: 5 }],
      }),
  ],
  [
    'what was made is found',
    'an account does not find its charge',
    shown(story().ask()).read('ch_k', undefined, { status: 404 }),
  ],
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
    'own data only',
    "a key's payment is booked for another account",
    story().ask().lost(1).record().charge().payment('k', { account: 'b' }).event(),
  ],
  [
    'own data only',
    "a key's charge belongs to another account",
    story()
      .ask()
      .lost(1)
      .record()
      .charge('k', { account: 'b' })
      .payment()
      .event('ch_k', { account: 'b' }),
  ],
  [
    'final states stay',
    'a succeeded charge has failed at the end',
    declined(story().read('ch_k', 'succeeded')),
  ],
  [
    '422 needs another request',
    'the other was refused and has left the key unused',
    story().ask({ body: 'B' }).fail(1, 'validation_failed', 400).ask().fail(2, REUSED),
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
  ['one shipment', 'of no order', story().shipment()],
];

function declinedWith(answer: string): Story {
  return declined(story().ask().ok(1, answer, 402)).recordSays(answer, 402);
}
