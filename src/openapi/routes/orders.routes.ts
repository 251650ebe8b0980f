import { PutOrder } from '../../orders/order.dto.js';
import { ListQuery } from '../../http/input/list.js';
import { PutProduct } from '../../stock/product.dto.js';
import { EXAMPLES, listExample } from '../examples.js';
import { listOf } from '../objects.js';
import type { Route, Routes } from '../route.js';
import { clientId, ref } from '../schema.js';

const order = { schema: ref('Order'), example: EXAMPLES.order };
const product = { schema: ref('Product'), example: EXAMPLES.product };
const unchanged = { description: 'You have the current version.' };

const chosen = 'Chosen by you: 1 to 64 letters, digits, `_` or `-`.';
const orderId = { description: chosen, schema: clientId, example: EXAMPLES.order.id };
const sku = { description: chosen, schema: clientId, example: EXAMPLES.product.sku };

const orderBody: Route['body'] = {
  dto: PutOrder,
  examples: {
    order: {
      currency: 'usd',
      items: [{ sku: 'mug', quantity: 1, unit_amount: 1999 }],
      email: 'customer@example.com',
    },
  },
};

export const ORDER_ROUTES: Routes = {
  'POST /orders': {
    tag: 'Orders',
    id: 'createOrder',
    summary: 'Make an order whose id the server chooses',
    description: 'Two clicks with one key, one order.',
    keyed: true,
    body: orderBody,
    successes: {
      201: { description: 'The order.', ...order, headers: ['Location', 'ETag'] },
    },
  },
  'GET /orders': {
    tag: 'Orders',
    id: 'listOrders',
    summary: 'List orders, newest first',
    query: ListQuery,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('Order'),
        example: listExample(EXAMPLES.order, '/orders'),
      },
    },
  },
  'GET /orders/{id}': {
    tag: 'Orders',
    id: 'getOrder',
    summary: 'Look at an order as it is today',
    description: 'Its `ETag` moves whenever anything shown here moves.',
    conditional: 'read',
    path: { id: orderId },
    successes: {
      200: { description: 'The order.', ...order, headers: ['ETag'] },
      304: { ...unchanged, headers: ['ETag'] },
    },
    problems: ['not_found'],
  },
  'PUT /orders/{id}': {
    tag: 'Orders',
    id: 'putOrder',
    summary: 'Make or change an order whose id you choose',
    description:
      'Idempotent without a key: the whole order under its own name. The same content again changes nothing, whatever `If-Match` says; other content needs the current version in `If-Match`. `Idempotency-Key` is ignored.',
    conditional: 'put',
    path: { id: orderId },
    body: orderBody,
    successes: {
      200: { description: 'Changed, or the same already.', ...order, headers: ['ETag'] },
      201: { description: 'Made.', ...order, headers: ['Location', 'ETag'] },
    },
    problems: ['payment_pending', 'order_already_paid', 'order_canceled'],
  },
  'DELETE /orders/{id}': {
    tag: 'Orders',
    id: 'cancelOrder',
    summary: 'Cancel an order',
    description: 'Again is 204 as well.',
    conditional: 'delete',
    path: { id: 'The order’s id.' },
    successes: { 204: { description: 'It is canceled.' } },
    problems: ['not_found', 'payment_pending', 'order_already_paid'],
  },
};

export const PRODUCT_ROUTES: Routes = {
  'GET /products/{sku}': {
    tag: 'Products',
    id: 'getProduct',
    summary: 'Look at a product and its stock',
    conditional: 'read',
    path: { sku },
    successes: {
      200: { description: 'The product.', ...product, headers: ['ETag'] },
      304: { ...unchanged, headers: ['ETag'] },
    },
    problems: ['not_found'],
  },
  'PUT /products/{sku}': {
    tag: 'Products',
    id: 'putProduct',
    summary: 'Make or change a product',
    description:
      'Conditional like orders. A sku without a product is not tracked; stock never becomes negative.',
    conditional: 'put',
    path: { sku },
    body: { dto: PutProduct, examples: { product: { name: 'A mug', on_hand: 12 } } },
    successes: {
      200: { description: 'Changed, or the same already.', ...product, headers: ['ETag'] },
      201: { description: 'Made.', ...product, headers: ['Location', 'ETag'] },
    },
  },
};
