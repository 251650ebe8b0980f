import type { RuleName } from '../../../src/proof/checker/check.js';
import { declined, NOT_REACHED, OPEN, REUSED, story, type Story } from './story.js';

// Histories on both sides of each rule's conditions. Each kills a mutant of the checker that no other history kills:
// docs/proof.md, "Mutation".

const LONG = 'key-2.b';
const longAnswer = (named: string) => `{"d":"${named}"}`;
const items = (sku: string, quantity: number) => [{ sku, quantity, unit_amount: 10 / quantity }];

export const LEGAL_BOUNDARIES: [string, Story][] = [
  [
    'a duplicate is 409 in the millisecond of the answer',
    story().ask().ok(1).atOnce().ask().fail(2, OPEN, 409).paid(),
  ],
  [
    'a request of a whole lease is 409: the sweep has its record',
    story().ask().wait(4_000).fail(1, OPEN, 409).ask().ok(2).paid(),
  ],
  [
    'a second 409 while the sweep has the record',
    story().ask().wait(4_000).fail(1, OPEN, 409).ask().fail(2, OPEN, 409).ask().ok(3).paid(),
  ],
  [
    'a 409 in the millisecond in which the other request is sent',
    story().ask().ask().atOnce().fail(1, OPEN, 409).ok(2).paid(),
  ],
  [
    'a 422 in the millisecond in which the other body is sent',
    story().ask().ask({ body: 'B' }).atOnce().fail(1, REUSED).ok(2).paid(),
  ],
  [
    'reads that touch in one millisecond differ',
    story().read('ch_k', 'succeeded').atOnce().read('ch_k', 'pending').paid(),
  ],
  [
    'reads are judged in the order in which they ended',
    story()
      .read('ch_k', 'succeeded', { lasts: 9_000 })
      .read('ch_k', 'pending', { lasts: 1_000 })
      .read('ch_k', 'pending')
      .paid(),
  ],
  ['a final state is read again', declined(story().read('ch_k', 'failed').read('ch_k', 'failed'))],
  [
    'a read without an object says nothing',
    story()
      .paid()
      .read('ch_k', 'failed', { status: 503 })
      .read('ch_k', 'succeeded')
      .read('ch_k', undefined)
      .read('ch_k', 'pending', { status: 503 }),
  ],
  [
    'a record is written in the millisecond of the answer',
    story().ask().ok(1).paid().seenAt(2_000),
  ],
  [
    'a declined charge with an address has no receipt',
    declined(story().ask().ok(1, 'no', 402), { hasReceipt: true }),
  ],
  [
    'objects without a request have one name',
    story().order('o', { marker: 'a/seed' }).order('p', { marker: 'a/seed' }),
  ],
  ['two orders are paid by two keys', story().sold().sold('l', 'p').product(6, 0)],
  [
    'the last of two products is sold',
    story()
      .sold('k', 'o', { items: items('s', 10) })
      .sold('l', 'p', { items: items('t', 4) })
      .product(0, 0)
      .product(6, 0, { sku: 't' })
      .product(10, 0, { account: 'b' }),
  ],
  [
    'a refund that failed at the processor',
    story().paid().refund('r', { status: 'failed' }).givenBack('r', 4, 'failed'),
  ],
  [
    'a pending refund that the processor has made',
    story().paid().refund('r', { status: 'pending' }).givenBack('r'),
  ],
  ['a delivery that arrived, and healing', story().healed().paid().delivery().received()],
  ['quiet exactly thirty seconds after healing', story().healed().wait(29_000).paid()],
  [
    'recovery takes exactly the lease and five seconds',
    story().ask().fault(1_000).lost(1).wait(8_000).paid(),
  ],
];

export const ILLEGAL_BOUNDARIES: [RuleName, string, Story][] = [
  [
    'the same bytes',
    'the third answer differs',
    story().ask().ok(1).ask().ok(2).ask().ok(3, 'other').paid(),
  ],
  [
    'a seen answer is stored',
    'another status is stored',
    story().ask().ok(1).record('k', 'paid', 200).charge().payment().event(),
  ],
  [
    '409 needs another request',
    'another body after the answer',
    story().ask().ok(1).ask({ body: 'B' }).fail(2, OPEN, 409).paid(),
  ],
  [
    'own data only',
    "an answer with another account's longer key",
    story()
      .ask({ account: 'bob', key: LONG })
      .lost(1)
      .ask()
      .ok(2, longAnswer(`bob/${LONG}`))
      .record('k', longAnswer(`bob/${LONG}`))
      .charge()
      .payment()
      .event(),
  ],
  [
    'a record needs a request',
    'all requests ended before it',
    story().ask().ok(1).paid().seenAt(2_500),
  ],
  [
    'a record needs a request',
    'it is written when the request begins that says that it did nothing',
    story().ask().lost(1, 503, NOT_REACHED).ask().ok(2).paid().seenAt(1_000),
  ],
  [
    'a record needs a request',
    'it is written when the request says that it did nothing',
    story().ask().lost(1, 503, NOT_REACHED).ask().ok(2).paid().seenAt(2_000),
  ],
  [
    'final states stay',
    'its lines are in another order',
    story().wait(3_000).read('ch_k', 'pending').wait(-5_000).read('ch_k', 'succeeded').paid(),
  ],
  ['final states stay', 'paid, then open', story().read('o', 'paid').read('o', 'open').sold()],
  [
    'final states stay',
    'canceled, then paid',
    story().read('o', 'canceled').read('o', 'paid').canceled(),
  ],
  [
    'charges equal payments',
    'a pending charge with another amount',
    story().ask().lost(1).charge('k', { status: 'pending' }).payment('k', { amount: 11 }),
  ],
  [
    'refunds agree',
    'a failed refund was given back',
    story().paid().refund('r', { status: 'failed' }).givenBack('r'),
  ],
  ['stock agrees', 'still held for nothing', story().order().product(10, 2)],
  [
    'deliveries agree',
    'the last of three copies differs',
    story().paid().delivery().received().received().received('evt_1', 'other'),
  ],
  [
    'nothing is stuck',
    'a delivery',
    story().healed().paid().delivery('evt_1', 'pending').received(),
  ],
  [
    'nothing is stuck',
    'a record and its charge, and the charge of another key',
    story()
      .healed()
      .record('k', null, null)
      .charge('k', { status: 'pending' })
      .charge('l', { status: 'pending' }),
  ],
  [
    'recovery is in time',
    'the second of two keys',
    story()
      .ask()
      .fault(1_000)
      .lost(1)
      .paid()
      .ask({ key: 'l' })
      .fault(1_000)
      .lost(2)
      .wait(10_000)
      .paid('l'),
  ],
];
