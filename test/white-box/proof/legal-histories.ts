import { declined, NOT_REACHED, OPEN, ORDER, REUSED, story, type Story } from './story.js';

/** The checker finds nothing in them. */
export const LEGAL: [string, Story][] = [
  ['nothing happens', story()],
  ['one charge', story().ask().ok(1).paid()],
  ['a replay has the same bytes', story().ask().ok(1).ask().ok(2).paid()],
  ['two at once get one answer', story().ask().ask().ok(2).ok(1).paid()],
  ['a lost answer is asked for again', story().ask().lost(1).ask().ok(2).paid()],
  ['a lost request has no effect', story().ask().lost(1)],
  ['a lost answer has its effect', story().ask().lost(1).paid()],
  ['a request never ends', story().ask().paid()],
  [
    'another body after the first is 422',
    story().ask().ok(1).ask({ body: 'B' }).fail(2, REUSED).paid(),
  ],
  [
    'another body beside the first is 422',
    story().ask().ask({ body: 'B' }).fail(2, REUSED).ok(1).paid(),
  ],
  ['the other body wins the race', story().ask().ask({ body: 'B' }).ok(2).fail(1, REUSED).paid()],
  ['another operation is 422', story().ask().ok(1).ask(ORDER).fail(2, REUSED).paid()],
  ['a duplicate in flight is 409', story().ask().ask().fail(2, OPEN, 409).ok(1).paid()],
  ['a duplicate of a lost request is 409', story().ask().lost(1).ask().fail(2, OPEN, 409).paid()],
  ['a duplicate of a 504 is 409', story().ask().lost(1, 504).ask().fail(2, OPEN, 409).paid()],
  ['a decline is stored', declined(story().ask().ok(1, 'no', 402).ask().ok(2, 'no', 402))],
  ['a refused request leaves its key unused', story().ask().fail(1, 'payment_pending', 409)],
  [
    'a refused request succeeds later',
    story().ask().fail(1, 'payment_pending', 409).ask().ok(2).paid(),
  ],
  [
    'two accounts use one key',
    story().ask().ask({ account: 'b' }).fail(2, 'not_found', 404).ok(1).paid(),
  ],
  ['a lost connection after the answer', story().ask().ok(1).ask().lost(2).paid()],
  ['a 503 after the answer', story().ask().ok(1).ask().lost(2, 503).paid()],
  [
    'a pending charge becomes final',
    story().ask().read('ch_k', 'pending').ok(1).read('ch_k', 'succeeded').paid(),
  ],
  [
    'overlapping reads differ',
    story()
      .read('ch_k', 'succeeded', { lasts: 5_000 })
      .read('ch_k', 'pending', { lasts: 9_000 })
      .paid(),
  ],
  ['an account reads its charge', story().ask().ok(1).read('ch_k', 'succeeded').paid()],
  [
    'another account finds nothing',
    story().paid().read('ch_k', 'succeeded', { account: 'b', status: 404 }),
  ],
  [
    'an answer names its own key',
    story().ask().ok(1, '{"d":"a/k"}').record('k', '{"d":"a/k"}').charge().payment().event(),
  ],
  ['a refund', story().paid('k', { refunded: 4 }).refund('r').givenBack('r')],
  [
    'two refunds make up the charge',
    story()
      .paid('k', { refunded: 10 })
      .refund('r')
      .givenBack('r')
      .refund('s', { amount: 6 })
      .givenBack('s', 6),
  ],
  ['a failed refund gives nothing', story().paid().refund('r', { status: 'failed' })],
  ['a paid order', story().sold().product(8, 0)],
  [
    'a declined charge, then a paid order',
    declined(story(), { order: 'o' }).sold('l').product(8, 0),
  ],
  ['an open order holds nothing', story().order().product(10, 0)],
  ['a receipt sent twice is one message', story().paid('k', { hasReceipt: true }).mail().mail()],
  ['a delivery that arrives twice', story().paid().delivery().received().received()],
  ['a delivery that failed', story().paid().delivery('evt_1', 'failed')],
  [
    'a payment that was declined at the processor',
    declined(story()).payment('k', { status: 'requires_payment_method' }),
  ],
  ['recovery within the lease', story().ask().fault(1_000).lost(1).wait(7_000).paid()],
  [
    'a request that did nothing, and another that wrote the record',
    story().ask().lost(1, 503, NOT_REACHED).ask().ok(2).paid().seenAt(3_500),
  ],
  [
    'a request whose record was taken over while it slept is in progress',
    story().ask().ask().fail(2, OPEN, 409).fail(1, OPEN, 409).ask().ok(3).paid().seenAt(1_500),
  ],
  [
    'a lost request wrote the record before another did nothing',
    story().ask().lost(1).ask().lost(2, 503, NOT_REACHED).paid().seenAt(3_500),
  ],
  ['quiet soon after healing', story().ask().lost(1).healed().wait(20_000).paid()],
  [
    'a lost request that is first reserved long after healing',
    story().ask().lost(1).healed().wait(27_000).ask().wait(4_000).ok(2).paid().seenAt(31_000),
  ],
];
