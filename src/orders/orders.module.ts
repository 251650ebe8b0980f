import { Module } from '@nestjs/common';
import { OrderOperation } from './order.operation.js';

@Module({ providers: [OrderOperation], exports: [OrderOperation] })
export class OrdersModule {}
