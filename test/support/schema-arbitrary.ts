import fc, { type Arbitrary } from 'fast-check';
import { document } from './openapi.js';

/** The part of JSON Schema that request bodies of this API use. */
export interface Schema {
  $ref?: string;
  anyOf?: Schema[];
  type?: string;
  enum?: string[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  maxProperties?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
}

type Members = Record<string, unknown>;

/** A body with one thing wrong, and what that is. */
export interface Violation {
  what: string;
  body: unknown;
}

export function resolve(schema: Schema): Schema {
  if (!schema.$ref) return schema;
  const name = schema.$ref.split('/').at(-1) ?? '';
  return resolve((document.components.schemas as Record<string, Schema>)[name] ?? {});
}

/** Values that the schema allows. */
export function valid(given: Schema): Arbitrary<unknown> {
  const schema = resolve(given);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(valid));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type ?? 'string') {
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 99_999_999 });
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.uniqueArray(valid(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 5, 5),
        selector: (item) => JSON.stringify(item),
      });
    case 'object':
      return validObject(schema);
    default:
      return validText(schema);
  }
}

function validObject({ properties, required, additionalProperties }: Schema): Arbitrary<Members> {
  if (properties) {
    const members = Object.entries(properties).map(([name, each]) => [name, valid(each)] as const);
    return fc.record(Object.fromEntries(members), { requiredKeys: required as never[] });
  }
  const value =
    typeof additionalProperties === 'object' ? valid(additionalProperties) : fc.string();
  return fc.dictionary(fc.stringMatching(/^[a-z_]{1,40}$/), value, { maxKeys: 5 });
}

function validText({ pattern, format, minLength = 0, maxLength = 40 }: Schema): Arbitrary<string> {
  if (pattern) return fc.stringMatching(new RegExp(pattern));
  if (format === 'email') return fc.constantFrom('a@example.com', 'b.c+d@example.org');
  // PostgreSQL has no U+0000, and a lone surrogate is not valid Unicode: both are refused, and tried elsewhere.
  return fc
    .string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 60) })
    .filter((text) => !text.includes('\u0000') && [...text].length <= maxLength);
}

/** Bodies with one violation each, made from one that is valid. */
export function violations(given: Schema, body: Members): Violation[] {
  const schema = resolve(given);
  const { properties = {}, required = [] } = schema.anyOf ? resolve(schema.anyOf[0]!) : schema;
  const found: Violation[] = [{ what: 'a member too many', body: { ...body, no_such_member: 1 } }];
  for (const wrong of [null, [], 'text', 7, true]) {
    found.push({ what: `${JSON.stringify(wrong)} for the body`, body: wrong });
  }
  for (const name of schema.anyOf ? [] : required) {
    const rest = Object.entries(body).filter(([member]) => member !== name);
    found.push({ what: `no ${name}`, body: Object.fromEntries(rest) });
  }
  for (const [name, member] of Object.entries(properties)) {
    for (const value of wrongValues(resolve(member))) {
      found.push({
        what: `${name}: ${JSON.stringify(value)?.slice(0, 40)}`,
        body: { ...body, [name]: value },
      });
    }
  }
  return found;
}

function wrongValues(schema: Schema): unknown[] {
  const wrongTypes = [null, {}, [], true, 1, 'x', 1.5, -1, [[]], { a: { b: [] } }];
  switch (schema.enum ? 'enum' : (schema.type ?? 'string')) {
    case 'integer':
      return [
        ...wrongTypes.filter((value) => value !== 1),
        (schema.minimum ?? 0) - 1,
        (schema.maximum ?? 0) + 1,
        2 ** 53,
        1e300,
        '1',
      ];
    case 'array':
      return wrongTypes.filter(
        (value) => !(Array.isArray(value) && value.length === 0 && !schema.minItems),
      );
    case 'object':
      return [
        ...wrongTypes.filter((value) => JSON.stringify(value) !== '{}'),
        { a: 1 },
        { '': 'x' },
        { a: 'x'.repeat(501) },
      ];
    case 'enum':
      return [...wrongTypes, '', 'USD', schema.enum?.[0]?.toUpperCase()];
    default:
      return [
        ...wrongTypes.filter((value) => typeof value !== 'string'),
        ...(schema.maxLength ? ['x'.repeat(schema.maxLength + 1)] : []),
        ...(schema.minLength ? [''] : []),
        ...(schema.pattern ? ['', 'ä', 'a b', 'x'.repeat(300)] : []),
      ];
  }
}
