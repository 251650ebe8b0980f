import { cases, rfc } from '../check/case.js';
import { expectReplay } from '../check/expect.js';
import { PAYS_TWICE } from './costs.js';

export const ONE_CONNECTION_CASES = cases('concurrency', {
  'kept-connection': {
    level: 'must',
    source: rfc(9112, '9.3'),
    title: 'Four times on one kept connection make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const [first, ...replays] = await api.repeatOnConnection(purchase, 4, 'in turn');
      await api.expectMade([purchase, 1]);
      for (const replay of replays) expectReplay(api, first!, replay);
    },
  },
  pipelined: {
    level: 'must',
    source: rfc(9112, '9.3.2'),
    title: 'Two on one connection, the second before the answer to the first, make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      await api.repeatOnConnection(purchase, 2, 'pipelined');
      await api.settle(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
});
