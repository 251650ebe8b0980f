import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from '../check/api.js';
import { cases, rfc } from '../check/case.js';
import type { Sending } from '../check/exchange.js';
import { expect, expectReplay, isSuccess } from '../check/expect.js';
import { asNoAnswer } from '../wire/answer.js';
import { NOT_MADE } from './costs.js';

/** How long a server may still act on an interrupted request. */
export const AFTER_HALF_MS = 150;

export const HALF_REQUEST_CASES = cases('loss', {
  'half-body': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a body makes nothing; the whole request after it makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'half of the body', (sending) => sending.sendHalfOfBody()),
  },
  'half-head': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a head makes nothing; the whole request after it makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'half of the head', (sending) => sending.sendHalfOfHead()),
  },
  'all-but-one-byte': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'A body without its last byte makes nothing; the whole request makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'all but the last byte', (sending) => sending.sendAllBut(1)),
  },
  'unended-chunks': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Chunks without an end make nothing; the whole request makes one object',
    costs: NOT_MADE,
    run: (api) =>
      half(api, 'without the last chunk', (sending) => sending.sendAllBut('0\r\n\r\n'.length), {
        chunked: true,
      }),
  },
  'half-body-open': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a request on an open connection does not hold its key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      const stalled = await api.open(purchase, { note: 'stalled after half of the body' });
      await stalled.sendHalfOfBody();
      try {
        const first = await api.settle(purchase);
        expect(isSuccess(first), `the whole request is answered ${first.status}`);
        await stalled.sendAll();
        const outcome = await stalled.answer().catch(asNoAnswer);
        if (isSuccess(outcome)) expectReplay(api, first, outcome);
        await api.expectMade([purchase, 1]);
      } finally {
        stalled.close();
      }
    },
  },
});

/** A part of the request, then nothing more; then the whole request. */
async function half(
  api: Api,
  note: string,
  send: (sending: Sending) => Promise<void>,
  changes = {},
): Promise<void> {
  const purchase = api.purchase();
  const sending = await api.open(purchase, { ...changes, note });
  await send(sending);
  sending.close();
  await delay(AFTER_HALF_MS);
  await api.expectMade([purchase, 0]);
  await api.expectRecovered(purchase);
}
