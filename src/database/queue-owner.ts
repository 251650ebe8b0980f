/**
 * The queue's schema. Fixed, because graphile-worker would follow GRAPHILE_WORKER_SCHEMA of the shell, and our SQL
 * would not.
 */
export const QUEUE_SCHEMA = 'graphile_worker';

const MARK = 'charge-once:';

/**
 * Records the schema of the installation that owns the queue. Two installations in one database, separated by
 * `search_path`, would share the queue: workers of one would take jobs of the other, and find no rows for them.
 */
export const CLAIM_QUEUE = `DO $$ BEGIN
  EXECUTE format('COMMENT ON SCHEMA ${QUEUE_SCHEMA} IS %L', '${MARK}' || current_schema());
END $$`;

/** A queue without a mark is older than the marks. It belongs to the installation in `public`, if there is one. */
const OWNER = `
  SELECT current_schema() AS here, COALESCE(
    substring(obj_description(queue.oid, 'pg_namespace') FROM '^${MARK}(.*)$'),
    (SELECT schemaname FROM pg_tables WHERE schemaname = 'public' AND tablename = 'idempotency_records')) AS owner
  FROM pg_namespace AS queue WHERE queue.nspname = '${QUEUE_SCHEMA}'`;

/** @returns one line with the repair, if the queue belongs to another installation than the connected one. */
export async function foreignQueueMessage(client: {
  query(sql: string): Promise<{ rows: { here: string; owner: string | null }[] }>;
}): Promise<string | undefined> {
  const { here, owner } = (await client.query(OWNER)).rows[0] ?? {};
  if (!owner || owner === here) return undefined;
  return `The job queue of this database belongs to the installation in the schema "${owner}", but this one is in "${here}": the workers of each would take the jobs of the other. Give each installation its own database. (If the schema was renamed: COMMENT ON SCHEMA ${QUEUE_SCHEMA} IS '${MARK}${here}'.)`;
}
