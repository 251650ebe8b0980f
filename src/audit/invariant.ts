/** A sentence about the rows that must be true at every moment, and the query that finds where it is not. */
export interface Invariant {
  /** Names the fault, as it is reported. */
  name: string;
  /** Why it must not be, or what allows it to happen in spite of the constraints. One line. */
  why: string;
  /** Finds each breach as `account_id, id, detail`; `$1` is the time to live of a stored answer, in seconds. */
  sql: string;
}

/** One breach. */
export interface Finding {
  invariant: string;
  account_id: string;
  /** Of the object in question; of the payment, where it is the processor's. */
  id: string;
  detail: string;
}

/** All invariants as one statement, so that all look at the same snapshot. */
export function asOneQuery(invariants: readonly Invariant[]): string {
  return invariants
    .map(
      ({ name, sql }) =>
        `SELECT '${name}' AS invariant, account_id, id, detail FROM (${sql}) AS "${name}"`,
    )
    .join('\nUNION ALL\n');
}
