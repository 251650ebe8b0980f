import 'reflect-metadata';
import { SetMetadata } from '@nestjs/common';
import { NOT_FOUND, type ProblemType } from '../../idempotency/problem-types.js';
import { PRECONDITION_FAILED, PRECONDITION_REQUIRED } from '../problems/http.problems.js';
import { REQUEST_HEADERS, type HeaderName, type Parameter } from './headers.js';
import type { Content, Schema } from './schema.js';

// What a route promises, written at its handler. The OpenAPI document is made from this, from Nest's own decorators and
// from those of class-validator: src/openapi/routes.ts.

export interface Success extends Partial<Content> {
  status: number;
  description: string;
  /** Always present, in addition to those that every response of the route has. */
  headers: readonly HeaderName[];
}

interface Words {
  description?: string;
  /** Each variable of the path. One that the client chooses has a schema, and an example that can be sent unchanged. */
  path?: Readonly<
    Record<string, string | { description: string; schema: Schema; example: string }>
  >;
  /** Request bodies, by name. */
  examples?: Readonly<Record<string, unknown>>;
  /** Describes a `@RawBody()`. */
  rawBody?: string;
}

export interface Description extends Words {
  id: string;
  summary: string;
  successes: readonly Success[];
  /** Request headers, in addition to those of an `@Idempotent()` route. */
  headers: readonly Parameter[];
  /** Problems, in addition to those that follow from the kind of the route. */
  problems: readonly ProblemType[];
}

const TAG = Symbol('TAG');
const DESCRIPTION = Symbol('DESCRIPTION');
const NOTHING: Description = { id: '', summary: '', successes: [], headers: [], problems: [] };

/** The section of the document that the routes of a controller belong to. */
export const Tagged = (tag: string) => SetMetadata(TAG, tag);

/** @param id names the operation in generated clients */
export const Describe = (id: string, summary: string, words: Words = {}) =>
  add({ id, summary, ...words });

/** A success of the route. */
export const Answers = (
  status: number,
  description: string,
  content: Partial<Content> = {},
  headers: readonly HeaderName[] = [],
) => add({ successes: [{ status, description, ...content, headers }] });

/** Problems that the route can answer with, in addition to those that follow from its kind. */
export const Problems = (...problems: ProblemType[]) => add({ problems });

/** Request headers that only this route reads. */
export const Reads = (...headers: Parameter[]) => add({ headers });

/** For a GET of an object with an `ETag`. */
export const AnswersVersion = (description: string, content: Content) =>
  add({
    successes: [
      { status: 200, description, ...content, headers: ['ETag'] },
      { status: 304, description: 'You have the current version.', headers: ['ETag'] },
    ],
    headers: [REQUEST_HEADERS.IfNoneMatchRead],
    problems: [NOT_FOUND],
  });

/** For a PUT of an object with an `ETag` (http/conditional.ts). */
export const AnswersPut = (content: Content) =>
  add({
    successes: [
      {
        status: 200,
        description: 'Changed, or the object had this content already.',
        ...content,
        headers: ['ETag'],
      },
      { status: 201, description: 'Made.', ...content, headers: ['Location', 'ETag'] },
    ],
    headers: [REQUEST_HEADERS.IfMatch, REQUEST_HEADERS.IfNoneMatchCreate],
    problems: [PRECONDITION_FAILED, PRECONDITION_REQUIRED],
  });

export function tagOf(controller: object): string | undefined {
  return Reflect.getMetadata(TAG, controller) as string | undefined;
}

export function descriptionOf(handler: object): Description | undefined {
  return Reflect.getMetadata(DESCRIPTION, handler) as Description | undefined;
}

/** Decorators run from the last to the first. */
function add(more: Partial<Description>): MethodDecorator {
  return (_target, _name, { value }) => {
    const handler = value as object;
    const known = descriptionOf(handler) ?? NOTHING;
    const merged: Description = {
      ...known,
      ...more,
      successes: [...(more.successes ?? []), ...known.successes],
      headers: [...(more.headers ?? []), ...known.headers],
      problems: [...(more.problems ?? []), ...known.problems],
    };
    Reflect.defineMetadata(DESCRIPTION, merged, handler);
  };
}
