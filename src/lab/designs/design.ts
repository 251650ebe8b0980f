// The interface of every design in the gallery. A design is one file: its tables, its idea, and one function.

/** A parsed and valid `POST /charges`. */
export interface Purchase {
  account: string;
  key: string;
  /** The body as it was sent. */
  text: string;
  amount: number;
  currency: string;
  payment_method: string;
  description?: string | undefined;
}

/** The response to the client. */
export interface Reply {
  status: number;
  body: string;
  /** Runs after the response was sent. Only one design uses it. */
  afterwards?: () => Promise<void>;
}

/** How the processor answered. A timeout, a reset and a 5xx are a `ProcessorSilent`. */
export type Payment = { id: string; declined?: never } | { id: string; declined: string };

/** The processor gave no answer: it may have charged. */
export class ProcessorSilent extends Error {}

export interface Queries {
  query<Row = Record<string, string>>(sql: string, values?: unknown[]): Promise<Row[]>;
}

/** What a design may use: its own database, and the processor. */
export interface World {
  db: Queries & { transaction<Result>(work: (tx: Queries) => Promise<Result>): Promise<Result> };
  /**
   * Takes the money.
   * @param processorKey the processor answers a repeat under this key with its first answer, for 24 hours.
   * @throws ProcessorSilent
   */
  pay: (processorKey: string, purchase: Purchase) => Promise<Payment>;
}

export interface Design {
  title: string;
  /** The design as its author would describe it. */
  idea: string;
  /** The kind of real incident that it shows. */
  incident: string;
  /** One statement each. */
  tables: string[];
  charge(purchase: Purchase, world: World): Promise<Reply>;
}

/** The answer to a payment. */
export function replyTo({ id, declined }: Payment, { amount }: Purchase): Reply {
  return declined
    ? { status: 402, body: JSON.stringify({ code: 'card_declined', decline_code: declined }) }
    : { status: 201, body: JSON.stringify({ status: 'succeeded', amount, payment: id }) };
}

/** Another request with this key has not ended. */
export const IN_PROGRESS: Reply = {
  status: 409,
  body: JSON.stringify({ code: 'request_in_progress' }),
};

/** The key was already used for another request. */
export const REUSED: Reply = { status: 422, body: JSON.stringify({ code: 'key_reused' }) };
