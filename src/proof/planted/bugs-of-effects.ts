import type { Bug } from './bug.js';

const SETTLE = 'src/charges/settle-charge.ts';
const RECEIPTS = 'src/effects/receipts.ts';
const SENDER = 'src/webhooks/outgoing/sender.ts';

/** Bugs in the effects of a charge: stock, events, receipts, webhooks. */
export const BUGS_OF_EFFECTS: Bug[] = [
  {
    name: 'stock not released after a decline',
    patches: [
      { file: SETTLE, text: 'else await releaseStock(tx, accountId, id);', replacement: '' },
    ],
    mostly: 'sale',
    foundBy: ['stock agrees'],
  },
  {
    name: 'a failed charge makes charge.succeeded',
    patches: [
      {
        file: SETTLE,
        text: "charge.status === 'succeeded' ? 'charge.succeeded' : 'charge.failed'",
        replacement: "'charge.succeeded'",
      },
    ],
    foundBy: ['one event'],
  },
  {
    name: 'no event in the statement that settles',
    patches: [
      {
        file: 'src/events/events.ts',
        text: 'SELECT account_id, ${id}, ${type}, ${cause}, ${data}::json FROM ${source}\n',
        replacement:
          'SELECT account_id, ${id}, ${type}, ${cause}, ${data}::json FROM ${source} WHERE random() < 0.8\n',
      },
    ],
    foundBy: ['one event'],
  },
  {
    name: 'a new Message-ID for each attempt',
    patches: [
      {
        file: RECEIPTS,
        text: '`<receipt.${event.id}@charge-once.invalid>`',
        replacement: '`<receipt.${event.id}.${Math.random()}@charge-once.invalid>`',
      },
    ],
    cells: ['worker → mail × swallow-answer'],
    foundBy: ['one receipt'],
  },
  {
    name: 'a receipt for a failed charge',
    patches: [
      {
        file: RECEIPTS,
        text: "event.type !== 'charge.succeeded' ||",
        replacement: "!event.type.startsWith('charge.') ||",
      },
    ],
    foundBy: ['one receipt'],
  },
  {
    name: 'a receipt to another address',
    patches: [
      {
        file: RECEIPTS,
        text: '{ messageId, to, ...receiptOf(event) }',
        replacement: '{ messageId, to: `other.${to}`, ...receiptOf(event) }',
      },
    ],
    foundBy: ['a receipt goes to its customer'],
  },
  {
    name: 'a relay that forgets what follows',
    patches: [
      {
        file: 'src/events/event-relay.ts',
        text: 'for (const event of events) jobs.push(...(await jobsOf',
        replacement:
          'for (const event of events) if (Math.random() < 0.7) jobs.push(...(await jobsOf',
      },
    ],
    foundBy: ['one receipt', 'deliveries agree', 'one shipment'],
  },
  {
    name: 'a new webhook-id for each attempt',
    patches: [
      {
        file: SENDER,
        text: "'webhook-id': message.id,",
        replacement: "'webhook-id': `${message.id}-${Math.random()}`,",
      },
    ],
    foundBy: ['deliveries agree'],
  },
  {
    name: 'a webhook with the time in its body',
    patches: [
      {
        file: SENDER,
        text: 'const now = new Date();\n',
        replacement:
          'const now = new Date();\n  message = { ...message, body: message.body.replace("{", `{"sent":${now.getTime()},`) };\n',
      },
    ],
    cells: ['worker → merchant × swallow-answer'],
    foundBy: ['deliveries agree'],
  },
];
