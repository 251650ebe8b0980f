import type { Column, Constraint, Index, Table } from './catalogue.js';

const HEADER = `-- The whole schema: read this one file to know the data.
--
-- Made by \`npm run schema\` from a migrated database; test/white-box/database/schema.spec.ts fails when it differs.
-- \`psql -f migrations/schema.sql\` loads it into an empty database, to try queries on. The service needs one that
-- \`npm run migrate\` has made: that also has the job queue, in a schema of its own, and the list of migrations.
`;

const COMMENTS = '-- The same comments for the catalogue, where `\\d+` of psql shows them.\n';

const LINE_LENGTH = 115;

/** The statements that make these tables, with each comment above its object. */
export function schemaSql(tables: Table[]): string {
  const parts = [HEADER, ...tables.map(tableSql), COMMENTS + tables.flatMap(commentsOf).join('')];
  return parts.join('\n');
}

function tableSql(table: Table): string {
  const lines = [...table.columns.map(columnSql), ...table.constraints.map(constraintSql)];
  const last = lines.length - 1;
  const body = lines.map(
    ([comment, sql], i) => `${remark(comment, '  ')}  ${sql}${i < last ? ',' : ''}\n`,
  );
  const create = `${remark(table.comment)}CREATE TABLE ${table.name} (\n${body.join('')});\n`;
  return create + table.indexes.map(indexSql).join('');
}

type Line = [comment: string | null, sql: string];

function columnSql(column: Column): Line {
  const { name, type, required, identity } = column;
  const words = [name, type === 'timestamp with time zone' ? 'timestamptz' : type];
  if (required) words.push('NOT NULL');
  if (column.default !== null) words.push('DEFAULT', simplified(column.default));
  if (identity) words.push(`GENERATED ${identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY`);
  return [column.comment, words.join(' ')];
}

function constraintSql({ name, definition, comment }: Constraint): Line {
  const [first, ...more] = simplified(definition).split('\n');
  const start = `CONSTRAINT ${name} `;
  const separator = start.length + first!.length > LINE_LENGTH ? '\n    ' : '';
  return [comment, [start.trimEnd() + (separator || ' ') + first, ...more].join('\n    ')];
}

function indexSql({ definition, comment }: Index): string {
  const sql = simplified(definition).replace(' USING btree ', ' ');
  return `${remark(comment)}${sql.length > LINE_LENGTH ? sql.replace(' WHERE ', '\nWHERE ') : sql};\n`;
}

/** The expression as a person would write it. A test loads the file and shows that both are equivalent. */
function simplified(expression: string): string {
  return expression
    .replace(/ = ANY \(ARRAY\[([^\]]*)\]\)/g, ' IN ($1)')
    .replaceAll("'::text", "'")
    .replace(/(REFERENCES \w+)\(/, '$1 (');
}

/** The comment, wrapped, for the line above its object. */
function remark(comment: string | null, indent = ''): string {
  if (comment === null) return '';
  const lines = [''];
  for (const word of comment.split(' ')) {
    if (`${indent}-- ${lines.at(-1)} ${word}`.length > LINE_LENGTH) lines.push(word);
    else lines.push(`${lines.pop()} ${word}`.trim());
  }
  return lines.map((line) => `${indent}-- ${line}\n`).join('');
}

function commentsOf({ name, comment, columns, constraints, indexes }: Table): string[] {
  return [
    commentSql(`TABLE ${name}`, comment),
    ...columns.map((column) => commentSql(`COLUMN ${name}.${column.name}`, column.comment)),
    ...constraints.map((each) => commentSql(`CONSTRAINT ${each.name} ON ${name}`, each.comment)),
    ...indexes.map((index) => commentSql(`INDEX ${index.name}`, index.comment)),
  ];
}

function commentSql(of: string, comment: string | null): string {
  return comment === null ? '' : `COMMENT ON ${of} IS '${comment.replaceAll("'", "''")}';\n`;
}
