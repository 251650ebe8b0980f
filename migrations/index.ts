import { Accounts1763760001000 } from './1763760001000-accounts.js';
import { IdempotencyRecords1763760002000 } from './1763760002000-idempotency-records.js';
import { Charges1763760003000 } from './1763760003000-charges.js';
import { EachFilterItsIndex1763760015000 } from './1763760015000-each-filter-its-index.js';
import { DecidedOnce1763760009000 } from './1763760009000-decided-once.js';
import { NoIndexOfPendingCharges1763760010000 } from './1763760010000-no-index-of-pending-charges.js';
import { NotificationsByState1763760014000 } from './1763760014000-notifications-by-state.js';
import { OneLiveRefundPerCause1763760012000 } from './1763760012000-one-live-refund-per-cause.js';
import { OrdersStockRefunds1763760005000 } from './1763760005000-orders-stock-refunds.js';
import { EventsAndEffects1763760006000 } from './1763760006000-events-and-effects.js';
import { Webhooks1763760007000 } from './1763760007000-webhooks.js';
import { ParkedPayments1763760004000 } from './1763760004000-parked-payments.js';
import { RefundsMadeOrFailedElsewhere1763760016000 } from './1763760016000-refunds-made-or-failed-elsewhere.js';
import { FoundByProcessorReference1763760016500 } from './1763760016500-found-by-processor-reference.js';
import { RecordsThatNeedAttention1763760018000 } from './1763760018000-records-that-need-attention.js';
import { RefundsCountedOnce1763760050000 } from './1763760050000-refunds-counted-once.js';
import { ParkedPaymentsResolved1763760060000 } from './1763760060000-parked-payments-resolved.js';
import { EventsAreTheOutbox1763760070000 } from './1763760070000-events-are-the-outbox.js';
import { OwedRefundsHaveRecords1763760080000 } from './1763760080000-owed-refunds-have-records.js';
import { DeliveriesAreTheirQueue1763760090000 } from './1763760090000-deliveries-are-their-queue.js';
import { Reconciliation1763760008000 } from './1763760008000-reconciliation.js';

/** In order, forward only. A list of classes, not a glob: TypeORM would load a glob by `import()`, which Jest breaks. */
export const migrations = [
  Accounts1763760001000,
  IdempotencyRecords1763760002000,
  Charges1763760003000,
  ParkedPayments1763760004000,
  OrdersStockRefunds1763760005000,
  EventsAndEffects1763760006000,
  Webhooks1763760007000,
  Reconciliation1763760008000,
  DecidedOnce1763760009000,
  NoIndexOfPendingCharges1763760010000,
  OneLiveRefundPerCause1763760012000,
  NotificationsByState1763760014000,
  EachFilterItsIndex1763760015000,
  RefundsMadeOrFailedElsewhere1763760016000,
  FoundByProcessorReference1763760016500,
  RecordsThatNeedAttention1763760018000,
  RefundsCountedOnce1763760050000,
  ParkedPaymentsResolved1763760060000,
  EventsAreTheOutbox1763760070000,
  OwedRefundsHaveRecords1763760080000,
  DeliveriesAreTheirQueue1763760090000,
];
