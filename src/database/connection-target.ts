/**
 * Where a connection goes, and the start-up options of its session. The user's options are in the URL (`?options=…`;
 * config.ts adds PGOPTIONS to it). Ours come last, so they take precedence. `pg` alone would use only one of the two.
 */
export function connectionTarget(url: string, ours: string) {
  const target = new URL(url);
  const theirs = target.searchParams.get('options');
  if (theirs === null) return { connectionString: url, options: ours };
  target.searchParams.delete('options');
  return { connectionString: target.href, options: `${theirs} ${ours}` };
}
