import type { ProblemCode } from './problem-catalogue.js';
import type { HeaderName } from './headers.js';
import type { Body, Dto } from './request-schemas.js';
import type { Schema } from './schema.js';

/** A success of a route. */
export interface Success {
  description: string;
  /** Absent: no body. */
  schema?: Schema;
  mediaType?: string;
  example?: unknown;
  /** Always there, beyond those that every answer of the route has. */
  headers?: readonly HeaderName[];
  /** There under a condition that the description of the header gives. */
  sometimes?: readonly HeaderName[];
}

/** A variable of a path that the client chooses: its example can be sent as it is. */
export interface PathVariable {
  description: string;
  schema: Schema;
  example: string;
}

/** What a reader needs to know of a route; what follows from its kind is added by `document.ts`. */
export interface Route {
  tag: 'Charges' | 'Refunds' | 'Orders' | 'Products' | 'Keys' | 'Events' | 'Operation' | 'Lab';
  id: string;
  summary: string;
  description?: string;
  /** Needs no API key. */
  public?: true;
  /** Needs an `Idempotency-Key`. */
  keyed?: true;
  /** A GET with an ETag, or a PUT or DELETE that heeds one. */
  conditional?: 'read' | 'put' | 'delete';
  query?: Dto;
  body?: Body & {
    optional?: true;
    examples: Readonly<Record<string, unknown>>;
  };
  /** A body that the route checks by itself. */
  rawBody?: { description: string; schema: Schema; headers?: readonly object[] };
  path?: Readonly<Record<string, string | PathVariable>>;
  successes: Readonly<Record<number, Success>>;
  /** Beyond what follows from the route's kind. */
  problems?: readonly ProblemCode[];
}

/** By method and path template, as the idempotency engine names operations. */
export type Routes = Readonly<Record<string, Route>>;
