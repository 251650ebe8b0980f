import type { RuleName } from '../../../src/proof/checker/check.js';
import { declined, story, WEBHOOK, type Story } from './story.js';

// Histories about what the client of a key did not see: a stored answer, a row that is gone, a merchant's webhooks.

export const LEGAL_UNSEEN: [string, Story][] = [
  ['an answer is stored, and its request was lost', story().ask().lost(1).paid()],
  ['a decline is stored, and its request was lost', declined(story().ask().lost(1))],
  [
    'a charge is not found before it is read',
    story().read('ch_k', undefined, { status: 404 }).read('ch_k', 'succeeded').paid(),
  ],
  [
    'a charge is not found by a read that began before it was there',
    story()
      .read('ch_k', 'succeeded', { lasts: 9_000 })
      .read('ch_k', undefined, { status: 404 })
      .paid(),
  ],
];

export const ILLEGAL_UNSEEN: [RuleName, string, Story][] = [
  [
    'an answer is true',
    'a decline is stored, and the charge has succeeded',
    story().ask().lost(1).paid().recordSays('no', 402),
  ],
  [
    'an answer is true',
    'an answer is stored, and nothing was made',
    story().ask().lost(1).record(),
  ],
  [
    'an answer is true',
    'an error is stored',
    story().ask().lost(1).paid().recordSays('internal_error', 500),
  ],
  [
    'an answer is true',
    'the stored answer shows another charge',
    story().ask().lost(1).paid().recordSays('{"id":"ch_l"}', 201),
  ],
  [
    'what was made is found',
    'a charge of a lost request is read, then not found',
    story().read('ch_k', 'succeeded').read('ch_k', undefined, { status: 404 }).paid(),
  ],
  ['what was made is found', 'a charge is read, and has no row', story().read('ch_k', 'pending')],
  ['deliveries agree', 'of another type', heard(WEBHOOK.replace('succeeded', 'failed'))],
  ['deliveries agree', 'of another object', heard(WEBHOOK.replace('ch_k', 'ch_l'))],
  ['deliveries agree', 'of another id', heard(WEBHOOK.replace('evt_1', 'evt_2'))],
  ['deliveries agree', 'a webhook that is not JSON', heard('ok')],
  ['deliveries agree', 'two of one event', heard(WEBHOOK).delivery()],
];

/** A merchant got this webhook about a charge that succeeded. */
function heard(body: string): Story {
  return story().paid().delivery().received('evt_1', body);
}
