/**
 * Where a connection goes, and the start-up options of its session: the user's, which are in the URL (`?options=…`;
 * config.ts puts PGOPTIONS there), then ours, so that ours win. `pg` alone would take one of the two.
 */
export function connectionTarget(url: string, ours: string) {
  const target = new URL(url);
  const theirs = target.searchParams.get('options');
  if (theirs === null) return { connectionString: url, options: ours };
  target.searchParams.delete('options');
  return { connectionString: target.href, options: `${theirs} ${ours}` };
}
