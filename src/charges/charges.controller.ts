import { Body, Controller, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import { Database } from '../database/database.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import { listOf } from '../http/description/schema.js';
import { page, type List } from '../http/input/list.js';
import { ListReads } from '../http/input/list-reads.js';
import { objectNotFound } from '../http/problems/problem.js';
import { toUtc } from '../http/input/rules.js';
import { CreateCharge, ListCharges } from './charge.dto.js';
import { CHARGE_STATES, chargeToWire, type ChargeWire } from './charge.entity.js';
import { ChargeOperation } from './charge.operation.js';
import { CHARGE_COLUMNS, findCharge } from './charge.queries.js';
import { CHARGE } from './charge.schema.js';
import {
  PAYMENT_PENDING,
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../processor/processor.problems.js';
import { ORDER_ALREADY_PAID, ORDER_CANCELED } from '../orders/order.problems.js';
import { CARD_DECLINED, CHARGE_FAILED } from './charge.problems.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

/**
 * An order has at most one live charge. The unique index that ensures this also finds the charge. (A rebuilt charge
 * whose order was lost has a `lost_order_id`. The list does not show it for the order.)
 */
const LIVE_OF_ORDER = `id = (SELECT id FROM charges WHERE account_id = $1 AND status IN ('pending', 'succeeded')
  AND lost_order_id IS NULL AND COALESCE(order_id, lost_order_id) = ?)`;

@Tagged('Charges')
@Controller('charges')
export class ChargesController {
  constructor(
    private readonly db: Database,
    private readonly lists: ListReads,
    private readonly charges: ChargeOperation,
  ) {}

  /** Only returns a plan. The engine runs it, once per key. */
  @Post()
  @Idempotent()
  @Describe('createCharge', 'Take money, once for each key', {
    description:
      'One key per purchase; a retry reuses it; a new key is a new charge. If the request, the answer or this server is lost, the same request with the same key still gets the first outcome. With `order` the database refuses a second payment even under another key.',
    examples: {
      amount: { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' },
      order: { order: 'order_8472', payment_method: 'pm_card_visa' },
    },
  })
  @Answers(201, 'The money was taken. A replay is the same status and the same bytes.', CHARGE, [
    'Location',
  ])
  @Problems(
    NOT_FOUND,
    PAYMENT_PENDING,
    ORDER_ALREADY_PAID,
    ORDER_CANCELED,
    CARD_DECLINED,
    CHARGE_FAILED,
    PROCESSOR_OUTCOME_UNKNOWN,
    PROCESSOR_UNAVAILABLE,
  )
  async create(@Req() request: Request, @Body() body: CreateCharge): Promise<Plan> {
    return this.charges.plan(accountIdOf(request), body);
  }

  @Get(':id')
  @Describe('getCharge', 'Get a charge in its current state', { path: { id: 'The charge’s id.' } })
  @Answers(200, 'The charge.', CHARGE)
  @Problems(NOT_FOUND)
  async find(@Req() request: Request, @Param('id') id: string): Promise<ChargeWire> {
    const charge = await findCharge(this.db, accountIdOf(request), id);
    if (!charge) throw objectNotFound('charge');
    return chargeToWire(charge);
  }

  @Get()
  @Describe('listCharges', 'List charges, newest first')
  @Answers(200, 'A page.', listOf(CHARGE, '/charges'))
  async list(@Req() request: Request, @Query() query: ListCharges): Promise<List<ChargeWire>> {
    const { status, order } = query;
    const filters = [
      { sql: 'status = ?', value: status },
      { sql: status && status !== 'failed' ? LIVE_OF_ORDER : 'order_id = ?', value: order },
      { sql: 'created_at >= ?', value: toUtc(query['created[gte]']) },
      { sql: 'created_at < ?', value: toUtc(query['created[lt]']) },
    ].filter(({ value }) => value !== undefined);
    const isEach = Object.keys(CHARGE_STATES).map((each) => `status = '${each}'`);
    return page(this.lists, accountIdOf(request), query, {
      table: 'charges',
      columns: CHARGE_COLUMNS,
      where: filters.map(({ sql }, index) => sql.replace('?', `$${index + 2}`)),
      values: filters.map(({ value }) => value),
      oneOf: status === undefined && order === undefined ? isEach : [],
      url: '/charges',
      toWire: chargeToWire,
    });
  }
}
