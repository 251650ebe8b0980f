import { Module } from '@nestjs/common';
import { ListsModule } from '../http/input/list-reads.js';
import { OrderOperation } from './order.operation.js';
import { OrdersController } from './orders.controller.js';

@Module({ providers: [OrderOperation], exports: [OrderOperation] })
export class OrdersModule {}

/** The routes, in the API only. */
@Module({ imports: [OrdersModule, ListsModule], controllers: [OrdersController] })
export class OrdersHttpModule {}
