import type pg from 'pg';

/** A table, as the catalogue of PostgreSQL describes it. */
export interface Table {
  name: string;
  comment: string | null;
  columns: Column[];
  constraints: Constraint[];
  /** The indexes that belong to no constraint. */
  indexes: Index[];
}

export interface Column {
  name: string;
  type: string;
  required: boolean;
  default: string | null;
  /** `a`: GENERATED ALWAYS AS IDENTITY, `d`: BY DEFAULT. */
  identity: '' | 'a' | 'd';
  comment: string | null;
}

export interface Constraint {
  name: string;
  /** Primary key, unique, foreign key, check. */
  kind: 'p' | 'u' | 'f' | 'c';
  definition: string;
  columns: string[];
  /** The table that a foreign key names. */
  target: string | null;
  valid: boolean;
  comment: string | null;
}

export interface Index {
  name: string;
  definition: string;
  comment: string | null;
}

/**
 * Ordered by oid, which is the order in which the migrations create the objects; a template database keeps it. Since
 * PostgreSQL 18 `pg_constraint` also contains NOT NULL; here that belongs to the column.
 */
const SELECT_TABLES = `
  SELECT relname AS name, obj_description(class.oid, 'pg_class') AS comment, (
    SELECT json_agg(json_build_object(
      'name', attname,
      'type', format_type(atttypid, atttypmod),
      'required', attnotnull,
      'default', pg_get_expr(adbin, adrelid),
      'identity', attidentity,
      'comment', col_description(attrelid, attnum)) ORDER BY attnum)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped
  ) AS columns, (
    SELECT COALESCE(json_agg(json_build_object(
      'name', conname,
      'kind', contype,
      'definition', pg_get_constraintdef(con.oid, true),
      'columns', ARRAY(
        SELECT attname FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place),
      'target', (SELECT relname FROM pg_class WHERE oid = confrelid),
      'valid', convalidated,
      'comment', obj_description(con.oid, 'pg_constraint'))
      ORDER BY array_position('{p,u,f,c}', contype), con.oid), '[]')
    FROM pg_constraint AS con WHERE conrelid = class.oid AND contype IN ('p', 'u', 'f', 'c')
  ) AS constraints, (
    SELECT COALESCE(json_agg(json_build_object(
      'name', indexrelid::regclass,
      'definition', pg_get_indexdef(indexrelid, 0, true),
      'comment', obj_description(indexrelid, 'pg_class')) ORDER BY indexrelid), '[]')
    FROM pg_index WHERE indrelid = class.oid
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = indrelid AND conindid = indexrelid)
  ) AS indexes
  FROM pg_class AS class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = current_schema() AND relkind = 'r' AND relname <> 'migrations'
  ORDER BY class.oid`;

/** Our tables, without those of the queue, which are in another schema, and without the list of migrations. */
export async function readTables(client: pg.ClientBase): Promise<Table[]> {
  const { rows } = await client.query<Table>(SELECT_TABLES);
  return rows;
}
