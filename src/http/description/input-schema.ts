import 'reflect-metadata';
import { getMetadataStorage } from 'class-validator';
import { elementOf, type Dto } from '../input/validation.js';
import { metadata, type Schema } from './schema.js';

const DOC = Symbol('DOC');
const VARIANTS = Symbol('VARIANTS');

/** What a member of a request is. */
export const Doc = (description: string): PropertyDecorator => Reflect.metadata(DOC, description);

/** For each variant, by its name: the members that it requires in addition to those that are always required. */
type Variants = Readonly<Record<string, readonly string[]>>;

/** For a body whose required members do not follow from its validators alone. */
export const Variants = (variants: Variants): ClassDecorator =>
  Reflect.metadata(VARIANTS, variants);

/** What each validator means as JSON Schema. A validator without an entry fails the boot. */
const MEANINGS: Record<string, (constraints: readonly unknown[], member: Member) => Schema> = {
  isString: () => ({ type: 'string' }),
  isText: ([min, max]) => ({ type: 'string', minLength: Number(min), maxLength: Number(max) }),
  maxLength: ([max]) => ({ type: 'string', maxLength: Number(max) }),
  isEmail: () => ({ type: 'string', format: 'email' }),
  matches: ([pattern]) => ({ type: 'string', pattern: (pattern as RegExp).source }),
  isIn: ([values]) => ({ type: 'string', enum: values as unknown[] }),
  isCurrency: ([codes, description]) => ({
    type: 'string',
    enum: codes as string[],
    description: String(description),
  }),
  fitsCurrency: () => ({}), // depends on another member: described in words
  isIsoTime: () => ({
    anyOf: [
      { type: 'string', format: 'date' },
      { type: 'string', format: 'date-time' },
    ],
  }),
  isWholeNumber: ([min, max]) => ({
    type: 'integer',
    minimum: Number(min),
    maximum: Number(max),
  }),
  isMetadata: () => metadata,
  isInt: () => ({ type: 'integer' }),
  min: ([min]) => ({ minimum: Number(min) }),
  max: ([max]) => ({ maximum: Number(max) }),
  isArray: () => ({ type: 'array' }),
  arrayMinSize: ([min]) => ({ minItems: Number(min) }),
  arrayMaxSize: ([max]) => ({ maxItems: Number(max) }),
  arrayUnique: () => ({ uniqueItems: true }),
  nestedValidation: (_constraints, { dto, name }) => {
    const element = elementOf(dto, name);
    return element ? { items: schemaOf(element) } : {};
  },
  conditionalValidation: () => ({}), // may be absent
};

interface Member {
  dto: Dto;
  name: string;
}

/** The schema of a body, made from the decorators that check it, so the two cannot differ. */
export function schemaOf(dto: Dto): Schema {
  const properties: Record<string, Schema> = {};
  const optional = new Set<string>();
  const found = getMetadataStorage().getTargetValidationMetadatas(dto, '', false, false);
  for (const { name, type, propertyName, constraints = [], each } of found) {
    const rule = name ?? type;
    const meaning = MEANINGS[rule];
    if (!meaning) throw new Error(`${dto.name}.${propertyName}: no schema for ${rule}`);
    if (rule === 'conditionalValidation') optional.add(propertyName);
    const schema = meaning(constraints, { dto, name: propertyName });
    const isOfElements = each && rule !== 'nestedValidation';
    properties[propertyName] = {
      ...properties[propertyName],
      ...(isOfElements ? { items: schema } : schema),
    };
  }
  const names = Object.keys(properties).sort();
  return {
    type: 'object',
    properties: Object.fromEntries(
      names.map((name) => [name, described(dto, name, properties[name])]),
    ),
    required: names.filter((name) => !optional.has(name)),
    additionalProperties: false,
  };
}

/** The schema of a body. Each variant is complete: client generators turn a bare `required` into `unknown`. */
export function bodySchemaOf(dto: Dto): Schema {
  const schema = schemaOf(dto);
  const variants = Reflect.getMetadata(VARIANTS, dto) as Variants | undefined;
  if (!variants) return schema;
  return {
    anyOf: Object.entries(variants).map(([title, needed]) => ({
      title,
      ...schema,
      required: [...(schema.required ?? []), ...needed].sort(),
    })),
  };
}

/** Adds the description as the last member, where a reader looks for it. */
function described(
  dto: Dto,
  name: string,
  { description: ofRule, ...schema }: Schema = {},
): Schema {
  const own = Reflect.getMetadata(DOC, dto.prototype as object, name) as string | undefined;
  const description = own ?? ofRule;
  if (description === undefined) throw new Error(`${dto.name}.${name}: has no @Doc()`);
  return { ...schema, description };
}
