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
    '422 needs another request',
    'the other was refused and has left the key unused',
    story().ask({ body: 'B' }).fail(1, 'validation_failed', 400).ask().fail(2, REUSED),
  ],
  [
    'an answer is true',
    'a refund failed by its answer, and succeeded',
    refundAnswered(402, '{"refund":"re_r"}'),
  ],
  [
    'an answer is true',
    'a refund is answered before it has ended',
    refundAnswered(201, '{"id":"re_r","status":"pending"}'),
  ],
  [
    'an answer is true',
    'a success whose charge is pending in it',
    showing({ id: 'ch_k', status: 'pending' }),
  ],
  ['an answer is true', 'it shows another amount', showing({ id: 'ch_k', amount: 20 })],
  [
    'an answer is true',
    'an order was declined',
    story().ask(ORDER).ok(1, 'no', 402).record('k', 'no', 402).order('o', { marker: 'a/k' }),
  ],
  [
    'made as asked',
    'without the order',
    story()
      .ask(asks({ order: 'o' }))
      .ok(1)
      .paid()
      .order(),
  ],
  [
    'made as asked',
    'with an order that no request names',
    story()
      .ask(asks({ amount: 10 }))
      .ok(1)
      .sold(),
  ],
  [
    'made as asked',
    'without the receipt',
    story()
      .ask(asks({ receipt_email: 'k@shop.example' }))
      .ok(1)
      .paid(),
  ],
];

function declinedWith(answer: string): Story {
  return declined(story().ask().ok(1, answer, 402)).recordSays(answer, 402);
}

function refundAnswered(status: number, answer: string): Story {
  const of = story().ask(REFUND).ok(1, answer, status).record('r', answer, status);
  return of.paid('k', { refunded: 4 }).refund('r').givenBack('r');
}

function showing(object: object): Story {
  const answer = JSON.stringify(object);
  return story().ask().ok(1, answer).record('k', answer).charge().payment().event();
}
