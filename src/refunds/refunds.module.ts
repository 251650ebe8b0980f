import { Module } from '@nestjs/common';
import { ListsModule } from '../http/input/list-reads.js';
import { ProcessorModule } from '../processor/processor.module.js';
import { Compensation } from './compensation.js';
import { RefundOperation } from './refund.operation.js';
import { RefundsController } from './refunds.controller.js';

@Module({
  imports: [ProcessorModule],
  providers: [RefundOperation, Compensation],
  exports: [RefundOperation, Compensation],
})
export class RefundsModule {}

/** The routes, in the API only. */
@Module({ imports: [RefundsModule, ListsModule], controllers: [RefundsController] })
export class RefundsHttpModule {}
