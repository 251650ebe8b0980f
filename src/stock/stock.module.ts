import { Module } from '@nestjs/common';
import { ProductsController } from './products.controller.js';

/** The routes, in the API only; the rest of this room is SQL in other rooms' transactions. */
@Module({ controllers: [ProductsController] })
export class StockHttpModule {}
