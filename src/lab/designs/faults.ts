import type { CellVerdict, FaultInfo } from '../run.js';
import type { Outcome } from './exchange.js';
import type { Experiment } from './experiment.js';

// The faults. Each is the scenario of one client. Its verdict follows from the processor's ledger and the client's last
// answer.

export interface Judged {
  verdict: CellVerdict;
  because: string;
}

export interface Fault extends FaultInfo {
  /** How many of its cells run in parallel. */
  atOnce: number;
  /** Plays the fault against one design. @returns the verdict, from the ledger and the client's last answer. */
  run(experiment: Experiment): Promise<Judged>;
}

/** More cells would slow each other down until leases expire. */
const FEW = 10;
/** All designs share one process, which is killed or frozen once for all of them. */
const ALL = Infinity;
/** More cells would need more connections than PostgreSQL's default of 100. */
const TEN_CONNECTIONS_EACH = 7;

const AMOUNT = 1999;
const purchase = (payment_method = 'pm_card_visa', amount = AMOUNT) =>
  JSON.stringify({ amount, currency: 'usd', payment_method });

/** The verdict of most faults: correct is one payment for the purchase, and a client that knows the result. */
async function oneWanted(experiment: Experiment, last: Outcome): Promise<Judged> {
  const { succeeded } = await experiment.ledger();
  if (succeeded > 1) {
    return { verdict: 'charged twice', because: `The customer paid ${succeeded} times.` };
  }
  if (!experiment.isFinal(last)) {
    const money = succeeded === 1 ? 'The money is taken' : 'Nothing is taken';
    return { verdict: 'stuck', because: `${money}, and no retry gets an answer.` };
  }
  if (last.status < 300 && succeeded === 0) {
    return {
      verdict: 'never charged',
      because: 'The answer says “succeeded”; no money was taken.',
    };
  }
  if (last.status >= 300 && succeeded === 1) {
    const because = `The money is taken, and the answer is ${last.status}.`;
    return { verdict: 'wrong answer', because };
  }
  if (last.status >= 300) {
    return { verdict: 'refused', because: `The answer is ${last.status}, and nothing is taken.` };
  }
  return { verdict: 'charged once', because: 'One payment, and the client knows.' };
}

const ONCE = 'charged once' as const;

export const FAULTS: readonly Fault[] = [
  {
    id: 'lost-answer',
    atOnce: FEW,
    title: 'Lost answer',
    story: 'The charge succeeds, the response is lost, the client retries.',
    expected: ONCE,
    async run(experiment) {
      await experiment.send({ body: purchase(), fault: 'lose-response' });
      return oneWanted(experiment, await experiment.retry({ body: purchase() }));
    },
  },
  {
    id: 'double-click',
    atOnce: FEW,
    title: 'Double click',
    story: 'The same request arrives twice at the same time.',
    expected: ONCE,
    async run(experiment) {
      await experiment.sendTwice({ body: purchase() });
      return oneWanted(experiment, await experiment.retry({ body: purchase() }));
    },
  },
  {
    id: 'kill-before-call',
    atOnce: ALL,
    title: 'Kill before the call',
    story: 'The process dies just before it calls the processor; the client retries.',
    expected: ONCE,
    async run(experiment) {
      await experiment.sendAndKill('before-call', { body: purchase() });
      return oneWanted(experiment, await experiment.retry({ body: purchase() }));
    },
  },
  {
    id: 'kill-after-call',
    atOnce: ALL,
    title: 'Kill after the call',
    story: 'The process dies just after the processor has charged; the client retries.',
    expected: ONCE,
    async run(experiment) {
      await experiment.sendAndKill('after-call', { body: purchase() });
      return oneWanted(experiment, await experiment.retry({ body: purchase() }));
    },
  },
  {
    id: 'frozen',
    atOnce: ALL,
    title: 'Frozen past the lease',
    story: 'The process sleeps before the call, another one takes over, and then it wakes up.',
    expected: ONCE,
    async run(experiment) {
      const wake = await experiment.sendAndFreeze('before-call', { body: purchase() });
      const last = await experiment.retry({ body: purchase() });
      await wake();
      return oneWanted(experiment, last);
    },
  },
  {
    id: 'processor-timeout',
    atOnce: ALL,
    title: 'Timeout at the processor',
    story: 'The processor charges, and never answers; the client retries.',
    expected: ONCE,
    async run(experiment) {
      const body = purchase('pm_lab_timeout');
      await experiment.send({ body });
      return oneWanted(experiment, await experiment.retry({ body }));
    },
  },
  {
    id: 'another-amount',
    atOnce: FEW,
    title: 'Another amount',
    story: 'The same key comes back with another amount.',
    expected: 'refused',
    async run(experiment) {
      await experiment.retry({ body: purchase() });
      const last = await experiment.retry({ body: purchase('pm_card_visa', AMOUNT + 1000) });
      const { succeeded } = await experiment.ledger();
      if (succeeded > 1) return oneWanted(experiment, last);
      if (experiment.isFinal(last) && last.status === 422) {
        return { verdict: 'refused', because: 'The answer is 422, and one payment is made.' };
      }
      const because = 'The answer to another amount is that of the first one.';
      return { verdict: 'wrong answer', because };
    },
  },
  {
    id: 'reordered',
    atOnce: FEW,
    title: 'Members reordered',
    story: 'The response is lost. The retry has the same members in another order.',
    expected: ONCE,
    async run(experiment) {
      await experiment.send({ body: purchase(), fault: 'lose-response' });
      const { amount, ...rest } = JSON.parse(purchase()) as Record<string, unknown>;
      const body = JSON.stringify({ ...rest, amount }, undefined, 1);
      return oneWanted(experiment, await experiment.retry({ body }));
    },
  },
  {
    id: 'declined',
    atOnce: FEW,
    title: 'Declined, then retried',
    story: 'The card is declined, the response is lost, the client retries.',
    expected: 'refused',
    async run(experiment) {
      const body = purchase('pm_card_visa_chargeDeclined');
      await experiment.send({ body, fault: 'lose-response' });
      const last = await experiment.retry({ body });
      const { succeeded, attempts } = await experiment.ledger();
      if (!experiment.isFinal(last) || succeeded > 0) return oneWanted(experiment, last);
      if (attempts > 1) {
        const because = `The bank was asked ${attempts} times for one purchase.`;
        return { verdict: 'wrong answer', because };
      }
      if (last.status === 402) return { verdict: 'refused', because: 'The decline is replayed.' };
      return oneWanted(experiment, last);
    },
  },
  {
    id: 'another-account',
    atOnce: FEW,
    title: 'Another account’s key',
    story: 'Two accounts use the same key for a purchase of their own.',
    expected: ONCE,
    async run(experiment) {
      await experiment.retry({ body: purchase() });
      const last = await experiment.retry({ body: purchase(), account: 'second' });
      const { succeeded, succeededBy } = await experiment.ledger();
      if (experiment.isFinal(last) && succeededBy('second') === 0) {
        return { verdict: 'wrong answer', because: 'One account reads the other one’s payment.' };
      }
      if (succeeded === 2) return { verdict: ONCE, because: 'One payment for each account.' };
      return oneWanted(experiment, last);
    },
  },
  {
    id: 'slow-processor',
    atOnce: TEN_CONNECTIONS_EACH,
    title: 'Ten slow calls, pool of ten',
    story: 'Ten charges wait at a slow processor; meanwhile the shop reads one row.',
    expected: ONCE,
    async run(experiment) {
      const isServed = await experiment.isServedDuring(10, { body: purchase() });
      const { succeeded } = await experiment.ledger();
      if (!isServed) {
        return { verdict: 'stuck', because: 'No connection is free: the whole service waits.' };
      }
      if (succeeded === 10) return { verdict: ONCE, because: 'The service answers meanwhile.' };
      return { verdict: 'wrong answer', because: `${succeeded} payments for 10 purchases.` };
    },
  },
];
