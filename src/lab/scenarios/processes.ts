import type { Play } from './scenario.js';

/** The points at which the process of a plain charge can die, and what is true then. */
const POINTS = [
  'received',
  'before-reserve',
  'record-written',
  'reserve-written',
  'after-reserve',
  'before-perform',
  'after-perform',
  'settle-written',
  'after-settle',
] as const;
/** These lie within a transaction, which only the charge of an order has. */
const IN_TRANSACTION: ReadonlySet<string> = new Set([
  'record-written',
  'reserve-written',
  'settle-written',
]);
/** A process that dies here has committed nothing. */
const NOTHING_YET: ReadonlySet<string> = new Set(POINTS.slice(0, 4));

const CUPS = { currency: 'usd', items: [{ sku: 'cup', quantity: 1, unit_amount: 1999 }] };
const OF_THE_ORDER = { order: 'cups-1', amount: undefined, currency: undefined };

export const kill: Play = {
  id: 'kill',
  title: 'Kill the API',
  story: 'The API dies by SIGKILL at a point of your choice. The client retries, or not.',
  question: 'How often has the customer paid in the end, if the client retries?',
  answer: '1',
  explanation: [
    'Before the reserve commits there is nothing: the retry is the first request, and without one nothing was bought.',
    'After it there is a row from which any process can go on: a retry, the worker’s sweep, or the processor’s notification.',
    'Each of them repeats the call under the same id, and the processor takes money once for an id.',
  ],
  parameters: [
    { name: 'point', label: 'It dies at', options: [...POINTS], initial: 'after-perform' },
    { name: 'retry', label: 'The client retries', options: ['yes', 'no'], initial: 'yes' },
  ],
  goals: ['survive-kill'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const point = stage.text('point');
    const retries = stage.text('retry') === 'yes';
    const key = keyed.newKey();
    const purchase = IN_TRANSACTION.has(point) ? OF_THE_ORDER : {};
    if (purchase === OF_THE_ORDER) await keyed.put('/orders/cups-1', CUPS);
    await keyed.buy(key, { fault: `crash-${point}` }, purchase);
    if (retries) await keyed.buyUntilKnown(key, {}, purchase);
    else keyed.note('the client does not retry');
    await keyed.settled(60_000);
    const isBought = retries || !NOTHING_YET.has(point);
    return stage.verdict(
      isBought ? 1 : 0,
      isBought ? '' : 'Nothing was bought, and nothing was paid.',
    );
  },
};

export const freeze: Play = {
  id: 'freeze',
  title: 'Frozen past its lease',
  story:
    'The API is frozen for 15 s in the middle of a charge: a long pause, or a machine that was moved.',
  question: 'How often has the customer paid?',
  answer: '1',
  explanation: [
    'The lease ran out while the process slept, and the sweep took the record over with the next epoch.',
    'It repeated the call under the same id and settled the charge; the processor took money once.',
    'The sleeper woke up with an old epoch: its compare-and-set wrote nothing, and the client got the stored answer.',
  ],
  parameters: [
    {
      name: 'point',
      label: 'It freezes at',
      options: ['after-reserve', 'before-perform', 'after-perform'],
      initial: 'after-perform',
    },
  ],
  goals: [],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    await keyed.buyUntilKnown(key, { fault: `freeze-${stage.text('point')}` });
    await keyed.settled(60_000);
    return stage.verdict();
  },
};

export const worker: Play = {
  id: 'worker-killed',
  title: 'Kill the worker at the e-mail',
  story: 'The worker dies by SIGKILL just before it sends the receipt, or just after.',
  question: 'How many payments are there?',
  answer: '1',
  explanation: [
    'The job is still in the queue: its lock runs out, and the next worker begins it again.',
    'Before the e-mail that is all. After it the record of the sending is missing, and a mail server cannot be asked.',
    'So the receipt is sent again under the same Message-ID, by which mail programs know that it is the same message.',
  ],
  parameters: [
    {
      name: 'when',
      label: 'It dies',
      options: ['before the e-mail', 'after the e-mail'],
      initial: 'after the e-mail',
    },
  ],
  goals: ['survive-kill'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const before = stage.text('when') === 'before the e-mail';
    keyed.arm('mail', before ? 'crash-before-mail' : 'crash-after-mail');
    await keyed.buyUntilKnown(keyed.newKey(), {}, { receipt_email: 'customer@example.com' });
    await keyed.until(async () =>
      keyed.tools.run.run.events.some(({ kind, from }) => kind === 'killed' && from === 'worker'),
    );
    await keyed.letWorkersLeasesRunOut();
    await keyed.settled(60_000);
    const mails = keyed.tools.run.run.events.filter((event) => event.to === 'mail').length;
    return stage.verdict(1, `E-mails sent: ${mails}, under one Message-ID.`);
  },
};
