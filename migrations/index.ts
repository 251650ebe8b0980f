import { Accounts1763760001000 } from './1763760001000-accounts.js';
import { IdempotencyRecords1763760002000 } from './1763760002000-idempotency-records.js';
import { Charges1763760003000 } from './1763760003000-charges.js';

/** In order, forward only. A list of classes, not a glob: see the note on dynamic import in jest.config.mjs. */
export const migrations = [
  Accounts1763760001000,
  IdempotencyRecords1763760002000,
  Charges1763760003000,
];
