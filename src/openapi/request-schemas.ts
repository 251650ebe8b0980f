import { getMetadataStorage } from 'class-validator';
import { elementOf } from '../http/input/validation.js';
import { MEMBERS } from './words.members.js';
import { metadata, type Schema } from './schema.js';

/** A class whose decorators check a body or a query. */
export type Dto = new () => object;

/** What each validator means as JSON Schema. One that is missing here fails at boot, not in a client's hands. */
const MEANINGS: Record<string, (constraints: readonly unknown[], member: Member) => Schema> = {
  isString: () => ({ type: 'string' }),
  isText: ([min, max]) => ({ type: 'string', minLength: Number(min), maxLength: Number(max) }),
  isLength: ([min, max]) => ({ type: 'string', minLength: Number(min), maxLength: Number(max) }),
  maxLength: ([max]) => ({ type: 'string', maxLength: Number(max) }),
  isEmail: () => ({ type: 'string', format: 'email' }),
  matches: ([pattern]) => ({ type: 'string', pattern: (pattern as RegExp).source }),
  isIn: ([values]) => ({ type: 'string', enum: values as unknown[] }),
  isCurrency: ([codes]) => ({ type: 'string', enum: codes as string[] }),
  fitsCurrency: () => ({}), // depends on another member: said in words
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

/** The schema of a body, from the very decorators that check it: the two cannot differ. */
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
      names.map((name) => [name, { ...properties[name], ...describe(dto, name) }]),
    ),
    required: names.filter((name) => !optional.has(name)),
    additionalProperties: false,
  };
}

/** A body of which the decorators alone do not say which members it needs. */
export interface Body {
  dto: Dto;
  /** The members that each variant needs beyond what is always needed, by the variant's name. */
  variants?: Readonly<Record<string, readonly string[]>>;
}

/** Each variant is whole: of a bare `required`, which is shorter, client generators make `unknown`. */
export function bodySchemaOf({ dto, variants }: Body): Schema {
  const schema = schemaOf(dto);
  if (!variants) return schema;
  return {
    anyOf: Object.entries(variants).map(([title, needed]) => ({
      title,
      ...schema,
      required: [...(schema.required ?? []), ...needed].sort(),
    })),
  };
}

function describe(dto: Dto, name: string): Schema {
  const description = MEMBERS[`${dto.name}.${name}`] ?? MEMBERS[name];
  if (description === undefined) throw new Error(`${dto.name}.${name}: no words for it`);
  return { description };
}
