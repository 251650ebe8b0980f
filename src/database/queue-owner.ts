/** The queue's schema. Named, because graphile-worker would follow GRAPHILE_WORKER_SCHEMA of the shell, and our SQL not. */
export const QUEUE_SCHEMA = 'graphile_worker';

const MARK = 'charge-once:';

/**
 * Writes down in whose schema the installation is that this queue works for. Two installations in one database, told
 * apart by `search_path`, would share the queue: the workers of one take jobs of the other, and find nothing there.
 */
export const CLAIM_QUEUE = `DO $$ BEGIN
  EXECUTE format('COMMENT ON SCHEMA ${QUEUE_SCHEMA} IS %L', '${MARK}' || current_schema());
END $$`;

/** A queue without a mark is older than the marks: then it belongs to the installation in `public`, if there is one. */
const OWNER = `
  SELECT current_schema() AS here, COALESCE(
    substring(obj_description(queue.oid, 'pg_namespace') FROM '^${MARK}(.*)$'),
    (SELECT schemaname FROM pg_tables WHERE schemaname = 'public' AND tablename = 'idempotency_records')) AS owner
  FROM pg_namespace AS queue WHERE queue.nspname = '${QUEUE_SCHEMA}'`;

/** @returns one line with the mend, if the queue belongs to another installation than the one that is connected. */
export async function whyQueueIsForeign(client: {
  query(sql: string): Promise<{ rows: { here: string; owner: string | null }[] }>;
}): Promise<string | undefined> {
  const { here, owner } = (await client.query(OWNER)).rows[0] ?? {};
  if (!owner || owner === here) return undefined;
  return `The job queue of this database belongs to the installation in the schema "${owner}", this one is in "${here}": the workers of each would take the jobs of the other. Give each a database of its own. (If the schema was renamed: COMMENT ON SCHEMA ${QUEUE_SCHEMA} IS '${MARK}${here}'.)`;
}
