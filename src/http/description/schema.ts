import { CLIENT_ID, METADATA_LIMITS } from '../input/rules.js';

/** The part of JSON Schema 2020-12 that the OpenAPI document uses; OpenAPI 3.1 takes it unchanged. */
export interface Schema {
  $ref?: string;
  title?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  description?: string;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: false | Schema;
  propertyNames?: Schema;
  maxProperties?: number;
  oneOf?: Schema[];
  anyOf?: Schema[];
  examples?: unknown[];
}

/** What a response body is: its schema, an example, and the components that the schema refers to. */
export interface Content {
  schema: Schema;
  example?: unknown;
  components?: Readonly<Record<string, Schema>>;
  /** The default is the handler's `@Header('Content-Type', …)`, or JSON. */
  mediaType?: string;
}

/** One schema for each member of an object; a missing or additional member does not compile. */
export type Members<Wire> = Readonly<Record<keyof Wire, Schema>>;

/** An object of the API: a component of the document under this name. */
export function wireObject<Wire>(
  name: string,
  members: Members<Wire>,
  example: Record<keyof Wire, unknown>,
) {
  return { schema: ref(name), example, components: { [name]: exactly(members) } } satisfies Content;
}

/** A page of a list, newest first. */
export function listOf({ schema, example, components = {} }: Content, url: string): Content {
  return {
    schema: exactly({
      object: constant('list'),
      data: { type: 'array', items: schema, maxItems: 100 },
      has_more: { type: 'boolean' },
      url: path,
    }),
    example: { object: 'list', data: [example], has_more: false, url },
    components,
  };
}

/** Every member is always present, and no other: the shape of our responses. */
export function exactly(properties: Record<string, Schema>, description?: string): Schema {
  return {
    type: 'object',
    ...(description !== undefined && { description }),
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

export function orNull(schema: Schema): Schema {
  return { ...schema, type: [String(schema.type), 'null'] };
}

export function ref(component: string): Schema {
  return { $ref: `#/components/schemas/${component}` };
}

export const text = (description?: string): Schema => ({
  type: 'string',
  ...(description !== undefined && { description }),
});

export const constant = (value: string): Schema => ({ type: 'string', const: value });

export const oneOfTexts = (values: readonly string[]): Schema => ({
  type: 'string',
  enum: [...values],
});

export const id = (prefix: string): Schema => ({
  type: 'string',
  pattern: `^${prefix}_[0-9a-z]+$`,
});

/** An id that the client chooses. */
export const clientId: Schema = { type: 'string', pattern: CLIENT_ID.source };

export const path: Schema = { type: 'string', pattern: '^/' };

export const time: Schema = {
  type: 'string',
  format: 'date-time',
  description: 'ISO 8601, UTC',
};

export const count: Schema = { type: 'integer', minimum: 0 };

export const metadata: Schema = {
  type: 'object',
  additionalProperties: { type: 'string', maxLength: METADATA_LIMITS.valueCharacters },
  propertyNames: { minLength: 1, maxLength: METADATA_LIMITS.keyCharacters },
  maxProperties: METADATA_LIMITS.pairs,
  description: `Up to ${METADATA_LIMITS.pairs} pairs of your own. Not a place for secrets or personal data.`,
};
