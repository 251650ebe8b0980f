/** A row of `products`: the stock, and how much of it is held for pending charges and unshipped orders. */
export interface Product {
  account_id: string;
  sku: string;
  name: string;
  on_hand: number;
  held: number;
  version: number;
}

export function productToWire(product: Product) {
  const { sku, name, on_hand, held, version } = product;
  return { sku, object: 'product', name, on_hand, held, version };
}

export type ProductWire = ReturnType<typeof productToWire>;
