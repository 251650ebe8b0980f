import { CreateCharge, ListCharges } from '../../charges/charge.dto.js';
import { ListQuery } from '../../http/input/list.js';
import { CreateRefund } from '../../refunds/refund.dto.js';
import { EXAMPLES, listExample } from '../examples.js';
import { listOf } from '../objects.js';
import type { Body } from '../request-schemas.js';
import type { Routes } from '../route.js';
import { ref } from '../schema.js';

const PROCESSOR = ['processor_outcome_unknown', 'processor_unavailable'] as const;

/** What is paid is an amount or an order. */
export const chargeBody: Body = {
  dto: CreateCharge,
  variants: { ChargeOfAmount: ['amount', 'currency'], ChargeForOrder: ['order'] },
};

export const CHARGE_ROUTES: Routes = {
  'POST /charges': {
    tag: 'Charges',
    id: 'createCharge',
    summary: 'Take money, once for each key',
    description:
      'One key per purchase; a retry reuses it; a new key is a new charge. Whatever is lost on the way (the request, the answer, this server), the same request with the same key ends in the first outcome. With `order` the database refuses a second payment even under another key.',
    keyed: true,
    body: {
      ...chargeBody,
      examples: {
        amount: { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' },
        order: { order: 'order_8472', payment_method: 'pm_card_visa' },
      },
    },
    successes: {
      201: {
        description: 'The money was taken. A replay is the same status and the same bytes.',
        schema: ref('Charge'),
        example: EXAMPLES.charge,
        headers: ['Location'],
      },
    },
    problems: [
      'not_found',
      'payment_pending',
      'order_already_paid',
      'order_canceled',
      'card_declined',
      'charge_failed',
      ...PROCESSOR,
    ],
  },
  'GET /charges': {
    tag: 'Charges',
    id: 'listCharges',
    summary: 'List charges, newest first',
    query: ListCharges,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('Charge'),
        example: listExample(EXAMPLES.charge, '/charges'),
      },
    },
  },
  'GET /charges/{id}': {
    tag: 'Charges',
    id: 'getCharge',
    summary: 'Look at a charge as it is today',
    path: { id: 'The charge’s id.' },
    successes: {
      200: { description: 'The charge.', schema: ref('Charge'), example: EXAMPLES.charge },
    },
    problems: ['not_found'],
  },
  'POST /charges/{id}/refunds': {
    tag: 'Refunds',
    id: 'createRefund',
    summary: 'Give money back, once for each key',
    description:
      'However many refunds run at once, never more goes back than was taken. A refund is never given up: it stays `pending` until the processor tells its end. Money that went back at the processor’s own desk counts, and is listed with `reason: null`: a refund that the processor refuses for its sake ends with `failure_code: refund_exceeds_charge`, and from then on `amount_refunded` of the charge is right. A refund that was booked so, and turns out to be one of this API (its metadata were edited at that desk), becomes `failed` with `failure_code: counted_as_another_refund`: its amount counts in that one. A refund that fails after it had succeeded becomes `failed`, and its amount can be refunded again.',
    keyed: true,
    path: { id: 'The charge’s id.' },
    body: {
      dto: CreateRefund,
      optional: true,
      examples: { part: { amount: 500, reason: 'damaged on the way' }, 'all that is left': {} },
    },
    successes: {
      201: {
        description: 'The money is on its way back.',
        schema: ref('Refund'),
        example: EXAMPLES.refund,
        headers: ['Location'],
      },
    },
    problems: [
      'not_found',
      'payment_pending',
      'charge_not_refundable',
      'refund_exceeds_charge',
      'refund_failed',
      ...PROCESSOR,
    ],
  },
  'GET /charges/{id}/refunds': {
    tag: 'Refunds',
    id: 'listRefundsOfCharge',
    summary: 'List the refunds of a charge',
    path: { id: 'The charge’s id.' },
    query: ListQuery,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('Refund'),
        example: listExample(EXAMPLES.refund, `/charges/${EXAMPLES.charge.id}/refunds`),
      },
    },
    problems: ['not_found'],
  },
  'GET /refunds/{id}': {
    tag: 'Refunds',
    id: 'getRefund',
    summary: 'Look at a refund as it is today',
    path: { id: 'The refund’s id.' },
    successes: {
      200: { description: 'The refund.', schema: ref('Refund'), example: EXAMPLES.refund },
    },
    problems: ['not_found'],
  },
};
