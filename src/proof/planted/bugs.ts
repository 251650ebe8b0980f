import type { Bug } from './bug.js';
import { BUGS_OF_EFFECTS } from './bugs-of-effects.js';
import { BUGS_OF_GUARDS } from './bugs-of-guards.js';

const ENGINE = 'src/idempotency/engine.ts';
const RECORDS = 'src/idempotency/records.ts';
const RECORD = 'src/idempotency/record.entity.ts';
const ANSWERS = 'src/processor/stripe-answers.ts';
const CHARGE = 'src/charges/charge.operation.ts';
const SETTLE = 'src/charges/settle-charge.ts';

const LOST_AT_PROCESSOR = ['api → processor × swallow-answer', 'api → processor × cut-answer'];

/** Each is built alone into a copy of the sources. No switch for it exists in the service. */
export const BUGS: Bug[] = [
  {
    name: 'another amount than was asked for, in both books',
    patches: [
      {
        file: CHARGE,
        text: 'const { payment_method, description, receipt_email, metadata } = request;\n',
        replacement:
          'const { payment_method, description, receipt_email, metadata } = request;\n    amount += 1;\n',
      },
    ],
    foundBy: ['made as asked'],
  },
  {
    name: 'a new processor key for each attempt',
    patches: [
      {
        file: CHARGE,
        text: 'this.processor.pay(charge.id, ',
        replacement: 'this.processor.pay(`${charge.id}-${Math.random()}`, ',
      },
    ],
    cells: LOST_AT_PROCESSOR,
    foundBy: ['one payment for a key'],
  },
  {
    name: 'the id of a charge without its account',
    patches: [
      {
        file: 'src/idempotency/identity.ts',
        text: 'canonical([accountId, operation, key])',
        replacement: 'canonical([operation, key])',
      },
    ],
    foundBy: [
      'own data only',
      'one receipt',
      'a receipt goes to its customer',
      'nothing is stuck',
      'charges equal payments',
    ],
  },
  {
    name: 'the answer stored as jsonb',
    patches: [
      {
        file: RECORDS,
        text: 'response_body = ${$(8)}\n',
        replacement: 'response_body = (${$(8)}::jsonb)::text\n',
      },
    ],
    foundBy: ['the same bytes', 'a seen answer is stored'],
  },
  {
    name: 'the answer stored after it was sent',
    patches: [
      {
        file: 'src/idempotency/completer.ts',
        text: 'const result = await this.settle(this.db, claim, outside.settle(loaded, outcome, claim));',
        replacement: `const settlement = outside.settle(loaded, outcome, claim);
    if ('answer' in settlement) {
      setTimeout(() => void this.settle(this.db, claim, settlement).catch(() => undefined), 500);
      const { answer } = settlement;
      return { result: { answer, expiresAt: new Date(), replayed: false, originalRequestId: claim.requestId } };
    }
    const result = await this.settle(this.db, claim, settlement);`,
      },
    ],
    foundBy: ['a seen answer is stored', 'an answered request is replayed'],
  },
  {
    name: 'no fingerprint',
    patches: [
      { file: ENGINE, text: 'refuseAnotherIntent(record, progress.request);', replacement: '' },
    ],
    foundBy: ['one request is answered'],
  },
  {
    name: 'a fingerprint that differs for each request',
    patches: [
      {
        file: 'src/idempotency/identity.ts',
        text: 'canonical([params, query, body])',
        replacement: 'canonical([params, query, body, Math.random()])',
      },
    ],
    foundBy: ['422 needs another request', 'an answered request is replayed'],
  },
  {
    name: 'replays are refused as in progress',
    patches: [
      {
        file: ENGINE,
        text: "if (record.state === 'completed') return",
        replacement: "if (record.state === 'completed' && ours) return",
      },
    ],
    foundBy: ['an answered request is replayed'],
  },
  {
    name: 'a replay with status 200',
    patches: [
      {
        file: RECORD,
        text: 'answer: { status: response_status,',
        replacement: 'answer: { status: replayed ? 200 : response_status,',
      },
    ],
    foundBy: ['the same bytes', 'a seen answer is stored'],
  },
  {
    name: 'answers expire at once',
    patches: [
      {
        file: RECORDS,
        text: "expires_at = ended_at + ${$(5)} * interval '1 second'",
        replacement: "expires_at = ended_at + 0 * ${$(5)} * interval '1 second'",
      },
    ],
    foundBy: ['a seen answer is stored', 'an answered request is replayed'],
  },
  {
    name: 'a lost answer of the processor counts as a failure',
    patches: [
      {
        file: ANSWERS,
        text: 'unknownAnswer(`no answer: ${code ?? error.type}`)',
        replacement: "{ kind: 'rejected', failureCode: 'network', reference: null }",
      },
    ],
    cells: LOST_AT_PROCESSOR,
    foundBy: ['charges equal payments'],
  },
  {
    name: 'a 500 of the processor counts as a failure',
    patches: [
      {
        file: ANSWERS,
        text: 'return unknownAnswer(`the processor failed with ${error.statusCode}`);',
        replacement:
          "return { kind: 'rejected', failureCode: `http_${error.statusCode}`, reference: null };",
      },
    ],
    foundBy: ['charges equal payments'],
  },
  {
    name: 'a decline counts as a success',
    patches: [
      {
        file: SETTLE,
        text: `return { status: 'failed', failureCode: code, declineCode, reference };`,
        replacement: "return { status: 'succeeded', reference: reference ?? code + declineCode };",
      },
    ],
    foundBy: ['charges equal payments'],
  },
  {
    name: 'the amount converted twice',
    patches: [
      {
        file: CHARGE,
        text: 'const parameters: PaymentParameters = {\n      amount,',
        replacement: 'const parameters: PaymentParameters = {\n      amount: amount * 100,',
      },
    ],
    foundBy: ['charges equal payments', 'nothing is stuck'],
  },
  {
    name: "another account's charge can be read",
    patches: [
      {
        file: 'src/charges/charge.queries.ts',
        text: 'SELECT ${CHARGE_COLUMNS} FROM charges WHERE account_id = $1 AND id = $2`',
        replacement: "SELECT ${CHARGE_COLUMNS} FROM charges WHERE $1 <> '' AND id = $2`",
      },
    ],
    foundBy: ['own data only'],
  },
  ...BUGS_OF_EFFECTS,
  ...BUGS_OF_GUARDS,
  {
    name: 'an order is not held',
    patches: [
      {
        file: 'src/orders/order.queries.ts',
        text: "SET charge_id = $4, version = version + 1, updated_at = now()\n     WHERE account_id = $1 AND id = $2 AND version = $3 AND status = 'open' AND charge_id IS NULL\n",
        replacement:
          "SET charge_id = $4, version = version + 1, updated_at = now()\n     WHERE account_id = $1 AND id = $2 AND $3 > 0 AND status = 'open'\n",
      },
      {
        file: 'src/charges/order-to-pay.ts',
        text: 'if (closed) throw closed;',
        replacement: '',
      },
      {
        file: 'migrations/1796083204000-charges.ts',
        text: 'CREATE UNIQUE INDEX charges_one_live_per_order',
        replacement: 'CREATE INDEX charges_one_live_per_order',
      },
    ],
    mostly: 'sale',
    foundBy: ['an order is paid once'],
  },
  {
    name: 'a new processor key for each attempt to refund',
    patches: [
      {
        file: 'src/refunds/refund-attempt.ts',
        text: 'processor.refund(refund.id, ',
        replacement: 'processor.refund(`${refund.id}-${Math.random()}`, ',
      },
    ],
    cells: LOST_AT_PROCESSOR,
    mostly: 'refund',
    foundBy: ['refunds agree'],
  },
];
