import { Accounts1796083201000 } from './1796083201000-accounts.js';
import { IdempotencyRecords1796083202000 } from './1796083202000-idempotency-records.js';
import { OrdersAndStock1796083203000 } from './1796083203000-orders-and-stock.js';
import { Charges1796083204000 } from './1796083204000-charges.js';
import { Refunds1796083205000 } from './1796083205000-refunds.js';
import { Events1796083206000 } from './1796083206000-events.js';
import { Effects1796083207000 } from './1796083207000-effects.js';
import { Webhooks1796083208000 } from './1796083208000-webhooks.js';
import { ProcessorEvents1796083209000 } from './1796083209000-processor-events.js';
import { Reconciliation1796083210000 } from './1796083210000-reconciliation.js';
import { NaiveCharges1796083211000 } from './1796083211000-naive-charges.js';

/**
 * In order, forward only; migrations/schema.sql is their result. After a change run `npm run schema`.
 *
 * On an empty table all indexes cost the same, and PostgreSQL takes the newest one that has any column of the query.
 * A session keeps that plan while the table grows, until an ANALYZE. So the index that finds single rows is created
 * last: most often the primary key. Proof: test/white-box/operation/first-plans.spec.ts.
 *
 * A list of classes, not a glob: TypeORM would load a glob by `import()`, which breaks in Jest.
 */
export const migrations = [
  Accounts1796083201000,
  IdempotencyRecords1796083202000,
  OrdersAndStock1796083203000,
  Charges1796083204000,
  Refunds1796083205000,
  Events1796083206000,
  Effects1796083207000,
  Webhooks1796083208000,
  ProcessorEvents1796083209000,
  Reconciliation1796083210000,
  NaiveCharges1796083211000,
];
