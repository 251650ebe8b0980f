import { isDeepStrictEqual } from 'node:util';
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { recordEvent } from '../events/events.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import {
  checkIfMatch,
  etagOf,
  putConditionally,
  refuseMalformedConditions,
  sendVersioned,
  writePutHead,
} from '../http/conditional.js';
import { Database } from '../database/database.js';
import { REQUEST_HEADERS } from '../http/description/headers.js';
import {
  Answers,
  AnswersPut,
  AnswersVersion,
  Describe,
  Problems,
  Reads,
  Tagged,
} from '../http/description/route.js';
import { clientId, listOf } from '../http/description/schema.js';
import { ListQuery, page, type List } from '../http/input/list.js';
import { ListReads } from '../http/input/list-reads.js';
import { objectNotFound, validationFailed } from '../http/problems/problem.js';
import { CLIENT_ID } from '../http/input/rules.js';
import { contentOf, PutOrder } from './order.dto.js';
import {
  orderEvent,
  orderToWire,
  type Order,
  type OrderContent,
  type OrderWire,
} from './order.entity.js';
import { OrderOperation } from './order.operation.js';
import { ORDER_ALREADY_PAID, ORDER_CANCELED, whyOrderIsClosed } from './order.problems.js';
import { ORDER } from './order.schema.js';
import {
  cancelOrder,
  findOrder,
  insertOrder,
  ORDER_COLUMNS,
  updateOrder,
} from './order.queries.js';
import { linkTo } from '../http/resource-link.js';
import { PAYMENT_PENDING } from '../processor/processor.problems.js';
import { PRECONDITION_FAILED } from '../http/problems/http.problems.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

const ORDER_ID = {
  description: 'Chosen by you: 1 to 64 letters, digits, `_` or `-`.',
  schema: clientId,
  example: 'order_8472',
};
const EXAMPLES = {
  order: {
    currency: 'usd',
    items: [{ sku: 'mug', quantity: 1, unit_amount: 1999 }],
    email: 'customer@example.com',
  },
};

/** Three ways to be idempotent without a key (PUT, DELETE, ETag), and one with it (POST). */
@Tagged('Orders')
@Controller('orders')
export class OrdersController {
  constructor(
    private readonly db: Database,
    private readonly lists: ListReads,
    private readonly orders: OrderOperation,
  ) {}

  @Put(':id')
  @Describe('putOrder', 'Create or change an order whose id you choose', {
    description:
      'Idempotent without a key, because the client sends the whole order under an id of its own. The same content again changes nothing, whatever `If-Match` says. Other content needs the current version in `If-Match`. `Idempotency-Key` is ignored.',
    path: { id: ORDER_ID },
    examples: EXAMPLES,
  })
  @AnswersPut(ORDER)
  @Problems(PAYMENT_PENDING, ORDER_ALREADY_PAID, ORDER_CANCELED)
  async put(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Param('id') id: string,
    @Body() body: PutOrder,
  ): Promise<OrderWire> {
    if (!CLIENT_ID.test(id)) {
      throw validationFailed([
        { pointer: '/id', detail: 'must be 1 to 64 letters, digits, _ or -' },
      ]);
    }
    const accountId = accountIdOf(request);
    const content = contentOf(body);
    const { db } = this;
    const result = await putConditionally<Order>(request, {
      toWire: orderToWire,
      find: () => findOrder(db, accountId, id),
      insert: () => insertOrder(db, accountId, id, content),
      isSame: (order) => isDeepStrictEqual(contentOnly(order), content),
      checkChangeable: refuseIfClosed,
      update: (order) => updateOrder(db, order, content),
    });
    const wire = orderToWire(result.row);
    writePutHead(response, result.created, wire, linkTo('order', id).url);
    return wire;
  }

  @Post()
  @Idempotent()
  @Describe('createOrder', 'Create an order whose id the server chooses', {
    description: 'Two clicks with one key create one order.',
    examples: EXAMPLES,
  })
  @Answers(201, 'The order.', ORDER, ['Location', 'ETag'])
  async create(@Req() request: Request, @Body() body: PutOrder): Promise<Plan> {
    return this.orders.plan(accountIdOf(request), contentOf(body));
  }

  @Get(':id')
  @Describe('getOrder', 'Get an order in its current state', {
    description: 'Its `ETag` changes whenever anything shown here changes.',
    path: { id: ORDER_ID },
  })
  @AnswersVersion('The order.', ORDER)
  async find(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Param('id') id: string,
  ): Promise<OrderWire | undefined> {
    const order = await findOrder(this.db, accountIdOf(request), id);
    if (!order) throw objectNotFound('order');
    return sendVersioned(request, response, orderToWire(order));
  }

  @Get()
  @Describe('listOrders', 'List orders, newest first')
  @Answers(200, 'A page.', listOf(ORDER, '/orders'))
  async list(@Req() request: Request, @Query() query: ListQuery): Promise<List<OrderWire>> {
    return page(this.lists, accountIdOf(request), query, {
      table: 'orders',
      columns: ORDER_COLUMNS,
      url: '/orders',
      toWire: orderToWire,
    });
  }

  /** Cancels. A repeat is 204 as well, because the order is canceled, as the client wants. */
  @Delete(':id')
  @HttpCode(204)
  @Describe('cancelOrder', 'Cancel an order', {
    description: 'A repeat is 204 as well.',
    path: { id: 'The order’s id.' },
  })
  @Answers(204, 'It is canceled.')
  @Reads(REQUEST_HEADERS.IfMatchDelete)
  @Problems(PRECONDITION_FAILED, NOT_FOUND, PAYMENT_PENDING, ORDER_ALREADY_PAID)
  async cancel(@Req() request: Request, @Param('id') id: string): Promise<void> {
    refuseMalformedConditions(request);
    const { db } = this;
    for (;;) {
      const order = await findOrder(db, accountIdOf(request), id);
      if (!order) throw objectNotFound('order');
      if (order.status === 'canceled') return;
      checkIfMatch(request, etagOf(orderToWire(order)));
      refuseIfClosed(order);
      const canceled = await db.transaction(async (tx) => {
        const after = await cancelOrder(tx, order);
        if (after) await recordEvent(tx, orderEvent('order.canceled', after));
        return after;
      });
      if (canceled) return;
    }
  }
}

function contentOnly({ currency, items, email, metadata }: OrderContent): OrderContent {
  return { currency, items, email, metadata };
}

function refuseIfClosed(order: Order): void {
  const problem = whyOrderIsClosed(order);
  if (problem) throw problem;
}
