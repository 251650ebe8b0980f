// The history of a campaign: what the driver invoked, how each request ended for it, and when a fault was active.
// Each line of history.jsonl is one of these. Times are in ms since the epoch, by the clock of the driver's machine.

/** The driver sends a request. A copy that a link sends later is a separate invocation. */
export interface Invoke {
  what: 'invoke';
  n: number;
  at: number;
  account: string;
  key: string;
  operation: string;
  body: string;
}

/**
 * How the request ended for the driver. `ok`: a final answer, 2xx or 402. `fail`: refused, nothing was written.
 * `unknown`: everything else, such as a broken connection or any 5xx.
 */
export interface End {
  what: 'ok' | 'fail' | 'unknown';
  n: number;
  at: number;
  status?: number;
  code?: string;
  body?: string;
}

/** A GET of one object. It began at `at` and ended at `until`. */
export interface Read {
  what: 'read';
  at: number;
  until: number;
  account: string;
  object: string;
  status: number;
  state?: string;
}

/** A fault begins or ends. `point` and `action` name the cell of the plan. */
export interface FaultLine {
  what: 'fault-begin' | 'fault-end';
  fault: number;
  at: number;
  point: string;
  action: string;
}

/** All faults have ended. */
export interface Healed {
  what: 'healed';
  at: number;
}

export type Line = Invoke | End | Read | FaultLine | Healed;

/** Rows of PostgreSQL, in one snapshot. */
export interface Rows {
  records: RecordRow[];
  charges: ChargeRow[];
  refunds: RefundRow[];
  orders: OrderRow[];
  products: ProductRow[];
  events: EventRow[];
  fulfillments: { account: string; id: string; order: string }[];
  deliveries: { account: string; id: string; event: string; status: string }[];
}

export interface RecordRow {
  account: string;
  key: string;
  state: string;
  status: number | null;
  body: string | null;
  firstSeenAt: number;
  completedAt: number | null;
}

/** `marker`: account and key. The driver puts it into each body, so that rows are matched without the service's ids. */
export interface ChargeRow {
  account: string;
  id: string;
  marker: string;
  status: string;
  amount: number;
  refunded: number;
  order: string | null;
  hasReceipt: boolean;
}

export interface RefundRow {
  account: string;
  id: string;
  marker: string;
  charge: string;
  status: string;
  amount: number;
}

export interface OrderRow {
  account: string;
  id: string;
  marker: string;
  status: string;
  charge: string | null;
  items: { sku: string; quantity: number; unit_amount: number }[];
}

export interface ProductRow {
  account: string;
  sku: string;
  /** The stock before the campaign. */
  initial: number;
  onHand: number;
  held: number;
}

export interface EventRow {
  account: string;
  id: string;
  type: string;
  object: string;
  isRelayed: boolean;
}

/** The processor's own ledger: it decides what customers paid. */
export interface Ledger {
  payments: {
    id: string;
    marker: string;
    account: string;
    amount: number;
    status: string;
  }[];
  refunds: {
    id: string;
    refund: string;
    /** The payment that it refunds. Journals of runs before this rule do not have it. */
    payment?: string;
    amount: number;
    status: string;
  }[];
}

export interface Mail {
  messageId: string;
  charge: string;
  /** The recipient. Journals of runs before this rule do not have it. */
  to?: string;
}

/** A webhook that a merchant's server received. */
export interface Delivery {
  account: string;
  webhookId: string;
  body: string;
}

/** Everything that the checker knows. */
export interface Journals {
  /** The service's lease, in ms. */
  leaseMs: number;
  history: Line[];
  rows: Rows;
  ledger: Ledger;
  mails: Mail[];
  received: Delivery[];
}

export const markerOf = (account: string, key: string) => `${account}/${key}`;
