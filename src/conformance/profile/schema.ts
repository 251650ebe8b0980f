/** The part of JSON Schema that profiles need. */
export interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  description?: string;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  /** `false`: no other members. A schema: every other member must match it. Absent: any. */
  additionalProperties?: boolean | Schema;
}

export interface Fault {
  /** JSON pointer (RFC 6901). */
  pointer: string;
  message: string;
}

/** Checks a value and adds the defaults that its schema names. */
export function conform(schema: Schema, value: unknown): { value: unknown; faults: Fault[] } {
  const faults: Fault[] = [];
  return { value: walk(schema, value, '', faults), faults };
}

function walk(schema: Schema, value: unknown, pointer: string, faults: Fault[]): unknown {
  const fault = (message: string) => faults.push({ pointer: pointer || '/', message });
  if (schema.enum && !schema.enum.includes(value)) {
    const allowed = schema.enum.map((each) => JSON.stringify(each)).join(', ');
    fault(`is ${JSON.stringify(value)}, not one of ${allowed}`);
    return value;
  }
  if (schema.type && !isOfType(schema.type, value)) {
    fault(`is ${kindOf(value)}, not ${schema.type}`);
    return value;
  }
  if (typeof value === 'number') {
    if (value < (schema.minimum ?? value)) fault(`is less than ${schema.minimum}`);
    if (value > (schema.maximum ?? value)) fault(`is more than ${schema.maximum}`);
  }
  if (typeof value === 'string' && schema.pattern && !new RegExp(schema.pattern).test(value))
    fault(`is ${JSON.stringify(value)}, which does not match ${schema.pattern}`);
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) fault(`has fewer than ${schema.minItems} items`);
    if (value.length > (schema.maxItems ?? Infinity))
      fault(`has more than ${schema.maxItems} items`);
    const { items } = schema;
    return items ? value.map((item, i) => walk(items, item, `${pointer}/${i}`, faults)) : value;
  }
  if (typeof value !== 'object' || value === null || schema.type !== 'object') return value;
  return walkMembers(schema, value as Record<string, unknown>, pointer, faults);
}

function walkMembers(
  schema: Schema,
  value: Record<string, unknown>,
  pointer: string,
  faults: Fault[],
): Record<string, unknown> {
  const { properties = {}, required = [], additionalProperties: others = true } = schema;
  const result: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : others;
    const place = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (known === false)
      faults.push({ pointer: place, message: `is unknown here; known: ${names(properties)}` });
    else result[name] = typeof known === 'object' ? walk(known, member, place, faults) : member;
  }
  for (const [name, member] of Object.entries(properties)) {
    if (Object.hasOwn(value, name)) continue;
    if (required.includes(name))
      faults.push({ pointer: `${pointer}/${name}`, message: `is missing (${member.description})` });
    else if (member.default !== undefined)
      result[name] = walk(member, structuredClone(member.default), `${pointer}/${name}`, faults);
  }
  return result;
}

function isOfType(type: NonNullable<Schema['type']>, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  return kindOf(value) === type;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function names(properties: Record<string, unknown>): string {
  return Object.keys(properties).sort().join(', ');
}
