import { CLIENT_ID } from '../http/input/rules.js';

/** The part of JSON Schema 2020-12 that the document uses; OpenAPI 3.1 takes it as it is. */
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

/** Every member is always there, and no other: the shape of our answers. */
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

export const time: Schema = {
  type: 'string',
  format: 'date-time',
  description: 'ISO 8601, UTC',
};

export const count: Schema = { type: 'integer', minimum: 0 };

export const metadata: Schema = {
  type: 'object',
  additionalProperties: { type: 'string', maxLength: 500 },
  propertyNames: { minLength: 1, maxLength: 40 },
  maxProperties: 50,
  description: 'Up to 50 pairs of your own. Not a place for secrets or card data.',
};
