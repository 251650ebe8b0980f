import type { Api, Changes } from '../check/api.js';
import { cases, draft, rfc } from '../check/case.js';
import { expectReplay } from '../check/expect.js';
import { MEDIA_TYPES } from '../profile/body.js';
import { PAYS_TWICE } from './costs.js';

export const FRAMING_CASES = cases('replay', {
  'client-headers': {
    level: 'must',
    source: draft('2.4'),
    title: 'Another user agent, trace and language make no second object',
    costs: 'Every retry through a proxy is refused, or is a second payment.',
    async run(api) {
      const headers = {
        'User-Agent': 'retry/2',
        'Accept-Language': 'de',
        'X-Request-Id': 'retry-2',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      };
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const replay = await api.send(purchase, { headers });
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  charset: {
    level: 'must',
    source: rfc(9110, '8.3.1'),
    title: 'A parameter in Content-Type makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const contentType = `${MEDIA_TYPES[api.profile.create.encoding]}; charset=utf-8`;
      await sentTwice(api, { contentType });
    },
  },
  chunked: {
    level: 'must',
    source: rfc(9112, '7.1'),
    title: 'The same body in chunks makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      await sentTwice(api, { chunked: true });
    },
  },
  'byte-by-byte': {
    level: 'must',
    source: rfc(9112, '2.2'),
    title: 'The same request in single bytes makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const sending = await api.open(purchase, { note: 'byte by byte' });
      await sending.sendByteByByte();
      const replay = await sending.answer();
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  continue: {
    level: 'should',
    source: rfc(9110, '10.1.1'),
    title: 'A replay that expects 100 (Continue) is answered as any other',
    costs: 'Clients that send Expect (curl, .NET) cannot retry.',
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const headers = { Expect: '100-continue' };
      expectReplay(api, first, await api.send(purchase, { headers }));
    },
  },
});

/** Sends the request, then the same content in another framing. Expects a replay. */
async function sentTwice(api: Api, changes: Changes): Promise<void> {
  const purchase = api.purchase();
  const first = await api.make(purchase);
  const replay = await api.send(purchase, changes);
  await api.expectMade([purchase, 1]);
  expectReplay(api, first, replay);
}
