import { Injectable } from '@nestjs/common';
import { ReserveRaced } from '../idempotency/errors.js';
import {
  OperationRegistry,
  type FoundResource,
  type Operation,
  type Plan,
} from '../idempotency/operation.js';
import { created } from '../http/answer.js';
import { etagOf } from '../http/conditional.js';
import type { Queryable } from '../database/database.js';
import { orderToWire, type OrderContent } from './order.entity.js';
import { findOrder, insertOrder } from './order.queries.js';
import { linkTo } from '../http/resource-link.js';

/** `POST /orders` calls no other service: the order and the stored answer commit in one beat. */
@Injectable()
export class OrderOperation implements Operation {
  readonly name = 'POST /orders';
  readonly idPrefix = 'ord';

  constructor(operations: OperationRegistry) {
    operations.register(this);
  }

  plan(accountId: string, content: OrderContent): Plan {
    return {
      reserve: async (tx, { id }) => {
        const order = await insertOrder(tx, accountId, id, content);
        if (!order) throw new ReserveRaced();
        const wire = orderToWire(order);
        return { answer: created(linkTo('order', id).url, wire, { ETag: etagOf(wire) }) };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const order = await findOrder(db, accountId, id);
    return order && { ...linkTo('order', id), failed: false, createdAt: order.created_at };
  }
}
