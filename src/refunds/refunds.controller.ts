import { Body, Controller, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { findCharge } from '../charges/charge.queries.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import { OptionalBody } from '../http/input/body.guard.js';
import { Database } from '../database/database.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import { listOf } from '../http/description/schema.js';
import { ListQuery, page, type List } from '../http/input/list.js';
import { ListReads } from '../http/input/list-reads.js';
import { objectNotFound } from '../http/problems/problem.js';
import { CreateRefund } from './refund.dto.js';
import { refundToWire, type RefundWire } from './refund.entity.js';
import { RefundOperation } from './refund.operation.js';
import { REFUND } from './refund.schema.js';
import { findRefund, REFUND_COLUMNS } from './refund.queries.js';
import {
  EXAMPLE_CHARGE,
  PAYMENT_PENDING,
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../processor/processor.problems.js';
import { CHARGE_NOT_REFUNDABLE, REFUND_EXCEEDS_CHARGE, REFUND_FAILED } from './refund.problems.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

@Tagged('Refunds')
@Controller()
export class RefundsController {
  constructor(
    private readonly db: Database,
    private readonly lists: ListReads,
    private readonly refunds: RefundOperation,
  ) {}

  @Post('charges/:id/refunds')
  @Idempotent()
  @OptionalBody()
  @Describe('createRefund', 'Refund a charge, once for each key', {
    description:
      'Concurrent refunds never give back more than the charge took. A refund is never abandoned: it stays `pending` until the processor reports its end.\n\nRefunds that were made in the processor’s own dashboard count, and are listed with `reason: null`. If the processor refuses a refund because of them, it ends with `failure_code: refund_exceeds_charge`, and `amount_refunded` of the charge is right from then on. If a refund that was booked this way turns out to be one of this API (its metadata was edited there), it becomes `failed` with `failure_code: counted_as_another_refund`: its amount counts in the other one.\n\nA refund that fails after it had succeeded becomes `failed`, and its amount can be refunded again.',
    path: { id: 'The charge’s id.' },
    examples: { part: { amount: 500, reason: 'damaged on the way' }, 'all that is left': {} },
  })
  @Answers(201, 'The money is on its way back.', REFUND, ['Location'])
  @Problems(
    NOT_FOUND,
    PAYMENT_PENDING,
    CHARGE_NOT_REFUNDABLE,
    REFUND_EXCEEDS_CHARGE,
    REFUND_FAILED,
    PROCESSOR_OUTCOME_UNKNOWN,
    PROCESSOR_UNAVAILABLE,
  )
  async create(
    @Req() request: Request,
    @Param('id') id: string,
    @Body() body: CreateRefund,
  ): Promise<Plan> {
    return this.refunds.plan(accountIdOf(request), id, body);
  }

  @Get('charges/:id/refunds')
  @Describe('listRefundsOfCharge', 'List the refunds of a charge', {
    path: { id: 'The charge’s id.' },
  })
  @Answers(200, 'A page.', listOf(REFUND, `${EXAMPLE_CHARGE.url}/refunds`))
  @Problems(NOT_FOUND)
  async listOfCharge(
    @Req() request: Request,
    @Param('id') id: string,
    @Query() query: ListQuery,
  ): Promise<List<RefundWire>> {
    const { db } = this;
    const charge = await findCharge(db, accountIdOf(request), id);
    if (!charge) throw objectNotFound('charge');
    return page(this.lists, charge.account_id, query, {
      table: 'refunds',
      columns: REFUND_COLUMNS,
      of: { column: 'charge_id', id: charge.id },
      url: `/charges/${charge.id}/refunds`,
      toWire: refundToWire,
    });
  }

  @Get('refunds/:id')
  @Describe('getRefund', 'Get a refund in its current state', { path: { id: 'The refund’s id.' } })
  @Answers(200, 'The refund.', REFUND)
  @Problems(NOT_FOUND)
  async find(@Req() request: Request, @Param('id') id: string): Promise<RefundWire> {
    const refund = await findRefund(this.db, accountIdOf(request), id);
    if (!refund) throw objectNotFound('refund');
    return refundToWire(refund);
  }
}
