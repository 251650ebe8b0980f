import * as schema from '../http/description/schema.js';
import type { ProductWire } from './product.entity.js';

export const PRODUCT = schema.wireObject<ProductWire>(
  'Product',
  {
    sku: schema.clientId,
    object: schema.constant('product'),
    name: schema.text(),
    on_hand: schema.count,
    held: { ...schema.count, description: 'Promised to charges that have not ended.' },
    version: { type: 'integer', minimum: 1 },
  },
  { sku: 'mug', object: 'product', name: 'A mug', on_hand: 12, held: 1, version: 3 },
);
