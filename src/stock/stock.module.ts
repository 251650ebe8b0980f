import { Module } from '@nestjs/common';
import { ProductsController } from './products.controller.js';

/** The routes, in the API only. The rest of this folder is SQL that runs in the transactions of other modules. */
@Module({ controllers: [ProductsController] })
export class StockHttpModule {}
