import { Module } from '@nestjs/common';
import { ListsModule } from '../http/input/list-reads.js';
import { ProcessorModule } from '../processor/processor.module.js';
import { ChargeOperation } from './charge.operation.js';
import { ChargesController } from './charges.controller.js';

@Module({
  imports: [ProcessorModule],
  providers: [ChargeOperation],
  exports: [ChargeOperation],
})
export class ChargesModule {}

/** The routes, in the API only. */
@Module({ imports: [ChargesModule, ListsModule], controllers: [ChargesController] })
export class ChargesHttpModule {}
