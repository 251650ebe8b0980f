import { Body, Controller, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { DataSource } from 'typeorm';
import { accountIdOf } from '../accounts/auth.guard.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import { page, type List } from '../platform/list.js';
import { objectNotFound } from '../platform/problem.js';
import { toUtc } from '../platform/rules.js';
import { CreateCharge, ListCharges } from './charge.dto.js';
import { chargeToWire, type Charge, type ChargeWire } from './charge.entity.js';
import { ChargeOperation } from './charge.operation.js';
import { CHARGE_COLUMNS, findCharge } from './charge.queries.js';

@Controller('charges')
export class ChargesController {
  constructor(
    private readonly dataSource: DataSource,
    private readonly charges: ChargeOperation,
  ) {}

  /** Returns a plan and touches nothing: the engine runs it, once per key. */
  @Post()
  @Idempotent()
  async create(@Req() request: Request, @Body() body: CreateCharge): Promise<Plan> {
    return this.charges.plan(accountIdOf(request), body);
  }

  @Get(':id')
  async find(@Req() request: Request, @Param('id') id: string): Promise<ChargeWire> {
    const charge = await findCharge(this.dataSource.manager, accountIdOf(request), id);
    if (!charge) throw objectNotFound('charge');
    return chargeToWire(charge);
  }

  @Get()
  async list(@Req() request: Request, @Query() query: ListCharges): Promise<List<ChargeWire>> {
    const filters = [
      { sql: 'status =', value: query.status },
      { sql: 'order_id =', value: query.order },
      { sql: 'created_at >=', value: toUtc(query['created[gte]']) },
      { sql: 'created_at <', value: toUtc(query['created[lt]']) },
    ].filter(({ value }) => value !== undefined);
    return page<Charge, ChargeWire>(this.dataSource.manager, accountIdOf(request), query, {
      table: 'charges',
      columns: CHARGE_COLUMNS,
      where: filters.map(({ sql }, index) => `${sql} $${index + 2}`),
      values: filters.map(({ value }) => value),
      url: '/charges',
      toWire: chargeToWire,
    });
  }
}
