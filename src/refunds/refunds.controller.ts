import { Body, Controller, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { findCharge } from '../charges/charge.queries.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import { OptionalBody } from '../http/input/body.guard.js';
import { Database } from '../database/database.js';
import { ListQuery, page, type List } from '../http/input/list.js';
import { ListReads } from '../http/input/list-reads.js';
import { objectNotFound } from '../http/problems/problem.js';
import { CreateRefund } from './refund.dto.js';
import { refundToWire, type Refund, type RefundWire } from './refund.entity.js';
import { RefundOperation } from './refund.operation.js';
import { findRefund, REFUND_COLUMNS } from './refund.queries.js';

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
  async create(
    @Req() request: Request,
    @Param('id') id: string,
    @Body() body: CreateRefund,
  ): Promise<Plan> {
    return this.refunds.plan(accountIdOf(request), id, body);
  }

  @Get('charges/:id/refunds')
  async listOfCharge(
    @Req() request: Request,
    @Param('id') id: string,
    @Query() query: ListQuery,
  ): Promise<List<RefundWire>> {
    const { db } = this;
    const charge = await findCharge(db, accountIdOf(request), id);
    if (!charge) throw objectNotFound('charge');
    return page<Refund, RefundWire>(this.lists, charge.account_id, query, {
      table: 'refunds',
      columns: REFUND_COLUMNS,
      of: { column: 'charge_id', id: charge.id },
      where: [],
      values: [],
      url: `/charges/${charge.id}/refunds`,
      toWire: refundToWire,
    });
  }

  @Get('refunds/:id')
  async find(@Req() request: Request, @Param('id') id: string): Promise<RefundWire> {
    const refund = await findRefund(this.db, accountIdOf(request), id);
    if (!refund) throw objectNotFound('refund');
    return refundToWire(refund);
  }
}
