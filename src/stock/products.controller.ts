import { Body, Controller, Get, Param, Put, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { putConditionally, sendVersioned, writePutHead } from '../http/conditional.js';
import { Database } from '../database/database.js';
import { AnswersPut, AnswersVersion, Describe, Tagged } from '../http/description/route.js';
import { clientId } from '../http/description/schema.js';
import { objectNotFound, validationFailed } from '../http/problems/problem.js';
import { CLIENT_ID } from '../http/input/rules.js';
import { PutProduct } from './product.dto.js';
import { productToWire, type Product, type ProductWire } from './product.entity.js';
import { PRODUCT } from './product.schema.js';
import { findProduct, insertProduct, updateProduct } from './stock.js';

const SKU = {
  description: 'Chosen by you: 1 to 64 letters, digits, `_` or `-`.',
  schema: clientId,
  example: 'mug',
};

@Tagged('Products')
@Controller('products')
export class ProductsController {
  constructor(private readonly db: Database) {}

  @Put(':sku')
  @Describe('putProduct', 'Create or change a product', {
    description:
      'Conditional like orders. The stock of a sku without a product is not tracked. Stock never becomes negative.',
    path: { sku: SKU },
    examples: { product: { name: 'A mug', on_hand: 12 } },
  })
  @AnswersPut(PRODUCT)
  async put(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Param('sku') sku: string,
    @Body() { name, on_hand }: PutProduct,
  ): Promise<ProductWire> {
    if (!CLIENT_ID.test(sku)) {
      throw validationFailed([
        { pointer: '/sku', detail: 'must be 1 to 64 letters, digits, _ or -' },
      ]);
    }
    const account_id = accountIdOf(request);
    const { db } = this;
    const result = await putConditionally<Product>(request, {
      toWire: productToWire,
      find: () => findProduct(db, account_id, sku),
      insert: () => db.transaction((tx) => insertProduct(tx, { account_id, sku, name, on_hand })),
      isSame: (product) => product.name === name && product.on_hand === on_hand,
      checkChangeable: () => {}, // even below what is held: it is a count of the goods, and booking checks it
      update: (product) => db.transaction((tx) => updateProduct(tx, product, { name, on_hand })),
    });
    const wire = productToWire(result.row);
    writePutHead(response, result.created, wire, `/products/${sku}`);
    return wire;
  }

  @Get(':sku')
  @Describe('getProduct', 'Get a product and its stock', { path: { sku: SKU } })
  @AnswersVersion('The product.', PRODUCT)
  async find(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Param('sku') sku: string,
  ): Promise<ProductWire | undefined> {
    const product = await findProduct(this.db, accountIdOf(request), sku);
    if (!product) throw objectNotFound('product');
    return sendVersioned(request, response, productToWire(product));
  }
}
