export interface Finding {
  invariant: string;
  /** '-' if the finding belongs to all accounts. */
  account_id: string;
  /** The id of our object, or of the payment if only the processor has it. */
  id: string;
  detail: string;
}

/** The line that the commands print. */
export function lineOf({ invariant, account_id, id, detail }: Finding): string {
  return [invariant, account_id, id, detail].join('  ');
}

/** The invariants of a file: each query has a comment with its name, a colon and the reason. */
export function invariantsOf(sql: string): string[] {
  const lists = sql.matchAll(/^-- ([a-z]+_[a-z_]+(?:,\s+(?:-- )?[a-z_]+)*):\s/gm);
  return [...lists].flatMap(([, names]) => names!.match(/[a-z_]+/g)!);
}

/** Several files as one statement, so that all of them see one snapshot. */
export function asOneQuery(files: readonly string[]): string {
  const queries = files.map((sql) => `(${sql.trimEnd().replace(/;$/, '')})`);
  return `${queries.join('\nUNION ALL\n')}\nORDER BY invariant, account_id, id`;
}
