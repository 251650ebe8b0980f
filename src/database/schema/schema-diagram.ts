import type { Constraint, Table } from './catalogue.js';

/** Replaces the diagram in the page with a diagram of these tables. */
export function withDiagram(page: string, tables: Table[]): string {
  return page.replace(/(?<=^```mermaid\n)[^]*?(?=^```$)/m, () => diagramOf(tables));
}

/**
 * An entity-relationship diagram (Mermaid): keys and references only. `account_id`, with which almost every key begins,
 * is left out of keys of several columns; so are tables that no reference leads to or from.
 */
function diagramOf(tables: Table[]): string {
  const drawn = tables.filter(
    ({ name, constraints }) =>
      constraints.some(isReference) ||
      tables.some((other) => other.constraints.some(({ target }) => target === name)),
  );
  return ['erDiagram', ...drawn.map(entityOf), ...drawn.flatMap(referencesOf)]
    .map((line) => `${line}\n`)
    .join('');
}

const isReference = ({ kind }: Constraint) => kind === 'f';

function entityOf({ name, columns, constraints }: Table): string {
  const roles = new Map<string, Set<string>>();
  for (const { kind, columns: keys } of constraints) {
    if (kind === 'c') continue;
    const role = { p: 'PK', u: 'UK', f: 'FK' }[kind];
    for (const key of keys.length > 1 ? keys.filter((each) => each !== 'account_id') : keys)
      roles.set(key, (roles.get(key) ?? new Set()).add(role));
  }
  const isHidden = (key: string) => key === 'account_id' && keyOf(constraints).length > 1;
  const lines = columns
    .filter((column) => roles.has(column.name) && !isHidden(column.name))
    .map(
      (column) => `    ${column.type} ${column.name} ${[...roles.get(column.name)!].join(', ')}`,
    );
  return [`  ${name} {`, ...lines, '  }'].join('\n');
}

/** One parent, or none where a column may be null; many children, or one where the reference is unique. */
function referencesOf({ name, columns, constraints }: Table): string[] {
  return constraints.filter(isReference).map((reference) => {
    const isRequired = reference.columns.every(
      (key) => columns.find((column) => column.name === key)!.required,
    );
    const isUnique = constraints.some(
      ({ kind, columns: keys }) =>
        (kind === 'p' || kind === 'u') && keys.every((key) => reference.columns.includes(key)),
    );
    const label = reference.name.slice(name.length + 1).replace(/_fkey$/, '');
    return `  ${reference.target} ${isRequired ? '||' : '|o'}--${isUnique ? 'o|' : 'o{'} ${name} : ${label}`;
  });
}

function keyOf(constraints: Constraint[]): string[] {
  return constraints.find(({ kind }) => kind === 'p')?.columns ?? [];
}
