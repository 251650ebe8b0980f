import type { RuleName } from '../../../src/proof/checker/check.js';
import { declined, NOT_REACHED, ORDER, REUSED, OPEN, story, type Story } from './story.js';

/** Each breaks exactly the rule that it names. */
export const ILLEGAL: [RuleName, string, Story][] = [
  [
    'one object for a key',
    'two failed charges',
    declined(declined(story().ask().lost(1)), { id: 'ch_2' }),
  ],
  [
    'one object for a key',
    'two orders',
    story().ask(ORDER).lost(1).order('o', { marker: 'a/k' }).order('p', { marker: 'a/k' }),
  ],
  [
    'one object for a key',
    'two charges, and one payment',
    story().ask().lost(1).paid().charge('k', { id: 'ch_2', status: 'pending' }),
  ],
  ['one payment for a key', 'two payments, one charge', story().ask().lost(1).paid().payment()],
  ['one payment for a key', 'three payments', story().ask().ok(1).paid().payment().payment()],
  ['an order is paid once', 'two keys pay it', story().sold().paid('l', { order: 'o' })],
  ['the same bytes', 'another body', story().ask().ok(1).ask().ok(2, 'paid ').paid()],
  ['the same bytes', 'another status', story().ask().ok(1).ask().ok(2, 'paid', 200).paid()],
  ['the same bytes', 'of two at once', story().ask().ask().ok(1).ok(2, 'other').paid()],
  [
    'one request is answered',
    'another body gets the answer',
    story().ask().ok(1).ask({ body: 'B' }).ok(2).paid(),
  ],
  [
    'one request is answered',
    'another operation gets the answer',
    story().ask().ok(1).ask(ORDER).ok(2).paid(),
  ],
  ['a seen answer is stored', 'no record', story().ask().ok(1).charge().payment().event()],
  [
    'a seen answer is stored',
    'another answer is stored',
    story().ask().ok(1).record('k', 'other').charge().payment().event(),
  ],
  [
    'a seen answer is stored',
    'still in progress',
    story().ask().ok(1).record('k', null, null).charge().payment().event(),
  ],
  [
    'an answered request is replayed',
    '422 for the same request',
    story().ask().ask({ body: 'B' }).fail(2, REUSED).ok(1).ask().fail(3, REUSED).paid(),
  ],
  [
    'an answered request is replayed',
    '409 after the answer',
    story().ask().ok(1).ask().fail(2, OPEN, 409).paid(),
  ],
  [
    'an answered request is replayed',
    '404 after the answer',
    story().ask().ok(1).ask().fail(2, 'not_found', 404).paid(),
  ],
  ['422 needs another request', 'alone', story().ask().fail(1, REUSED)],
  [
    '422 needs another request',
    'the other comes later',
    story().ask().fail(1, REUSED).ask({ body: 'B' }).ok(2).paid(),
  ],
  [
    '422 needs another request',
    'the other has another key',
    story().ask({ key: 'l', body: 'B' }).lost(1).ask().fail(2, REUSED),
  ],
  [
    '422 needs another request',
    'the other is of another account',
    story().ask({ account: 'b', body: 'B' }).lost(1).ask().fail(2, REUSED),
  ],
  ['409 needs another request', 'alone', story().ask().fail(1, OPEN, 409)],
  [
    '409 needs another request',
    'alone for less than a lease',
    story().ask().wait(3_999).fail(1, OPEN, 409),
  ],
  [
    '409 needs another request',
    'the other was refused before',
    story().ask().fail(1, 'payment_pending', 409).ask().fail(2, OPEN, 409),
  ],
  [
    '409 needs another request',
    'the other comes later',
    story().ask().fail(1, OPEN, 409).ask().ok(2).paid(),
  ],
  [
    'own data only',
    "an answer with another account's key",
    story()
      .ask({ account: 'b' })
      .lost(1)
      .ask()
      .ok(2, '{"d":"b/k"}')
      .record('k', '{"d":"b/k"}')
      .charge()
      .payment()
      .event(),
  ],
  [
    'own data only',
    'a refusal with another key',
    story().ask({ key: 'l' }).lost(1).ask().fail(2, 'not_found', 404, '{"d":"a/l"}'),
  ],
  [
    'own data only',
    "another account's charge",
    story().paid().read('ch_k', 'succeeded', { account: 'b' }),
  ],
  ['a refused key is unused', 'a charge', declined(story().ask().fail(1, 'payment_pending', 409))],
  [
    'a refused key is unused',
    'an order',
    story().ask(ORDER).fail(1, 'validation_failed', 400).order('o', { marker: 'a/k' }),
  ],
  [
    'a record needs a request',
    'a request writes after it has said that it did nothing',
    story().ask().lost(1, 503, NOT_REACHED).paid().seenAt(2_500),
  ],
  [
    'a record needs a request',
    'the only request says that it did nothing',
    story().ask().lost(1, 503, NOT_REACHED).ask().ok(2).paid().seenAt(1_500),
  ],
  [
    'a record needs a request',
    'two requests say that they did nothing',
    story()
      .ask()
      .ask()
      .lost(1, 503, NOT_REACHED)
      .fail(2, 'payment_pending', 409)
      .ask()
      .ok(3)
      .paid()
      .seenAt(2_500),
  ],
  [
    'final states stay',
    'succeeded, then pending',
    story().read('ch_k', 'succeeded').read('ch_k', 'pending').paid(),
  ],
  [
    'final states stay',
    'failed, then succeeded',
    declined(story().read('ch_k', 'failed').read('ch_k', 'succeeded')),
  ],
  ['charges equal payments', 'succeeded without a payment', story().record().charge().event()],
  ['charges equal payments', 'failed with a payment', declined(story()).payment()],
  [
    'charges equal payments',
    'another amount',
    story().record().charge().payment('k', { amount: 11 }).event(),
  ],
  ['charges equal payments', 'a payment without a charge', story().ask().lost(1).payment()],
  [
    'refunds agree',
    'given back twice',
    story().paid('k', { refunded: 4 }).refund('r').givenBack('r').givenBack('r'),
  ],
  ['refunds agree', 'never given back', story().paid('k', { refunded: 4 }).refund('r')],
  ['refunds agree', 'not counted', story().paid().refund('r').givenBack('r')],
  ['refunds agree', 'without a row', story().paid().givenBack('r')],
  [
    'refunds agree',
    'more than the charge',
    story().paid('k', { refunded: 12 }).refund('r', { amount: 12 }).givenBack('r', 12),
  ],
  ['stock agrees', 'negative', story().product(-1, 0)],
  ['stock agrees', 'negative hold', story().product(10, -2)],
  ['stock agrees', 'sold and still there', story().sold().product(10, 0)],
  ['stock agrees', 'gone without a sale', story().order().product(8, 0)],
  ['one event', 'none', story().record().charge().payment()],
  ['one event', 'two', story().paid().event()],
  ['one event', 'of a failed charge', declined(story()).event()],
  ['one receipt', 'none', story().paid('k', { hasReceipt: true })],
  ['one receipt', 'two messages', story().paid('k', { hasReceipt: true }).mail().mail('m2')],
  ['one receipt', 'for a failed charge', declined(story()).mail()],
  ['one shipment', 'none', story().sold().unshipped().product(8, 0)],
  ['one shipment', 'two', story().sold().shipment().product(8, 0)],
  ['one shipment', 'of an open order', story().order().shipment()],
  ['deliveries agree', 'of no event', story().received()],
  [
    'deliveries agree',
    'different bytes',
    story().paid().delivery().received().received('evt_1', 'other'),
  ],
  ['deliveries agree', 'never arrived', story().paid().delivery()],
  ['deliveries agree', 'never planned', story().paid().paid('l').delivery().received()],
  ['nothing is stuck', 'a record', story().ask().lost(1).healed().record('k', null, null)],
  ['nothing is stuck', 'a pending charge', story().healed().charge('k', { status: 'pending' })],
  ['nothing is stuck', 'finished too late', story().ask().lost(1).healed().wait(31_000).paid()],
  [
    'nothing is stuck',
    'an event',
    story().healed().record().charge().payment().event('ch_k', { isRelayed: false }),
  ],
  [
    'recovery is in time',
    'longer than the lease and 5 s',
    story().ask().fault(1_000).lost(1).wait(10_000).paid(),
  ],
];
