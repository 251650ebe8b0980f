import type { Database, Tx } from '../database/database.js';
import type { Product } from './product.entity.js';

export interface Quantity {
  sku: string;
  quantity: number;
}

const COLUMNS = 'account_id, sku, name, on_hand, held, version';

export async function findProduct(
  db: Database,
  accountId: string,
  sku: string,
): Promise<Product | undefined> {
  const rows = await db.query<Product>(
    `SELECT ${COLUMNS} FROM products WHERE account_id = $1 AND sku = $2`,
    [accountId, sku],
  );
  return rows[0];
}

/** @returns undefined if the product exists. */
export async function insertProduct(
  tx: Tx,
  product: Pick<Product, 'account_id' | 'sku' | 'name' | 'on_hand'>,
): Promise<Product | undefined> {
  const { account_id, sku, name, on_hand } = product;
  const rows = await tx.query<Product>(
    `INSERT INTO products (account_id, sku, name, on_hand, version) VALUES ($1, $2, $3, $4, 1)
     ON CONFLICT (account_id, sku) DO NOTHING RETURNING ${COLUMNS}`,
    [account_id, sku, name, on_hand],
  );
  if (rows[0]) await adjust(tx, rows[0], on_hand);
  return rows[0];
}

/** Sets the counted stock. Compare-and-set on the version; @returns undefined if the product has changed. */
export async function updateProduct(
  tx: Tx,
  before: Product,
  after: Pick<Product, 'name' | 'on_hand'>,
): Promise<Product | undefined> {
  const rows = await tx.query<Product>(
    `UPDATE products SET name = $4, on_hand = $5, version = version + 1
     WHERE account_id = $1 AND sku = $2 AND version = $3 RETURNING ${COLUMNS}`,
    [before.account_id, before.sku, before.version, after.name, after.on_hand],
  );
  if (rows[0]) await adjust(tx, rows[0], after.on_hand - before.on_hand);
  return rows[0];
}

/**
 * Holds stock for a charge. A sku without a product is not tracked. Locks the products in the order of their skus, so
 * that two orders with the same skus cannot deadlock.
 * @returns false if there is too little stock of one product; then nothing was held.
 */
export async function holdStock(
  tx: Tx,
  accountId: string,
  cause: string,
  wanted: Quantity[],
): Promise<boolean> {
  const totals = totalPerSku(wanted);
  const products = await tx.query<Product>(
    `SELECT ${COLUMNS} FROM products WHERE account_id = $1 AND sku = ANY($2) ORDER BY sku FOR UPDATE`,
    [accountId, [...totals.keys()]],
  );
  if (products.some(({ sku, on_hand, held }) => on_hand - held < totals.get(sku)!)) return false;
  const skus = products.map(({ sku }) => sku);
  if (skus.length === 0) return true;
  const quantities = skus.map((sku) => totals.get(sku)!);
  await tx.query(
    `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
     SELECT $1, sku, $2, 'hold', quantity FROM unnest($3::text[], $4::bigint[]) AS wanted (sku, quantity)`,
    [accountId, cause, skus, quantities],
  );
  // With `ANY`, and below with subqueries: a join planned while the tables are empty reads all products of the account.
  await tx.query(
    `UPDATE products SET held = held + wanted.quantity, version = version + 1
     FROM unnest($2::text[], $3::bigint[]) AS wanted (sku, quantity)
     WHERE products.account_id = $1 AND products.sku = ANY($2) AND products.sku = wanted.sku`,
    [accountId, skus, quantities],
  );
  return true;
}

/** Releases what a charge still holds. Idempotent. */
export async function releaseStock(tx: Tx, accountId: string, cause: string): Promise<void> {
  await lockHeldProducts(tx, accountId, cause);
  await endHolds(tx, accountId, cause, 'release');
}

/**
 * Books what a charge still holds: it leaves the stock. Idempotent.
 * @returns false if a correction left too little stock; then nothing was booked.
 */
export async function bookStock(tx: Tx, accountId: string, cause: string): Promise<boolean> {
  await lockHeldProducts(tx, accountId, cause);
  const short = await tx.query(
    `SELECT 1 FROM stock_movements AS hold
     WHERE account_id = $1 AND cause = $2 AND kind = 'hold'
       AND quantity > (SELECT on_hand FROM products WHERE account_id = $1 AND sku = hold.sku)
       AND (SELECT kind FROM stock_movements AS done
         WHERE account_id = $1 AND sku = hold.sku AND cause = $2 AND kind IN ('release', 'book')) IS NULL`,
    [accountId, cause],
  );
  if (short.length > 0) return false;
  await endHolds(tx, accountId, cause, 'book');
  return true;
}

/** A hold ends once, by a release or a booking: a unique index skips holds that have ended. */
async function endHolds(
  tx: Tx,
  accountId: string,
  cause: string,
  kind: 'release' | 'book',
): Promise<void> {
  await tx.query(
    `WITH ended AS (
       INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
       SELECT account_id, sku, cause, $3, quantity FROM stock_movements
       WHERE account_id = $1 AND cause = $2 AND kind = 'hold'
       ON CONFLICT DO NOTHING RETURNING sku, quantity)
     UPDATE products SET held = held - quantity, version = version + 1,
       on_hand = on_hand - CASE $3 WHEN 'book' THEN quantity ELSE 0 END
     FROM ended WHERE products.account_id = $1 AND products.sku = ended.sku`,
    [accountId, cause, kind],
  );
}

/** Locks products in the order of their skus. A later statement of the same transaction sees current rows. */
async function lockHeldProducts(tx: Tx, accountId: string, cause: string): Promise<void> {
  await tx.query(
    `SELECT 1 FROM products WHERE account_id = $1 AND sku = ANY (ARRAY(
       SELECT sku FROM stock_movements WHERE account_id = $1 AND cause = $2 AND kind = 'hold'))
     ORDER BY sku FOR UPDATE`,
    [accountId, cause],
  );
}

/** A corrected count is a movement as well, so that the movements always add up to the stock. */
async function adjust(
  tx: Tx,
  { account_id, sku, version }: Product,
  quantity: number,
): Promise<void> {
  if (quantity === 0) return;
  await tx.query(
    `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity) VALUES ($1, $2, $3, 'adjust', $4)`,
    [account_id, sku, `version ${version}`, quantity],
  );
}

function totalPerSku(wanted: Quantity[]): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { sku, quantity } of wanted) totals.set(sku, (totals.get(sku) ?? 0) + quantity);
  return totals;
}
