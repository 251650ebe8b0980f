import { readFile } from 'node:fs/promises';
import { expect } from '@jest/globals';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { OpenApiDocument, OpenApiOperation } from '../../src/openapi/document.js';

/** An answer, from any of the tests' clients. */
export interface Answered {
  status: number;
  headers: Headers | NodeJS.Dict<string | string[]>;
  /** The body, unchanged. */
  text: string;
}

/** The checked-in document. Another test compares it with the code. */
export const document = JSON.parse(
  await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8'),
) as OpenApiDocument;

const ajv = new Ajv2020({ allErrors: true, strict: false });
addFormats.default(ajv);
ajv.addSchema(document, 'openapi');

const HEADER_NAMES = Object.keys(document.components.headers)
  .filter((name) => !name.endsWith('-always'))
  .map((name) => name.toLowerCase());

/**
 * Fails unless the document promises this answer: a status of the route, with its headers, media type and schema.
 * Also checks 404 and 405 for paths that are not routes.
 */
export function expectMatchesOpenApi(method: string, path: string, answer: Answered): void {
  expect(differences(method, path, answer)).toEqual([]);
}

/** What the document does not promise. Empty if all is correct. */
export function differences(method: string, path: string, answer: Answered): string[] {
  const [pathname = ''] = path.split('?');
  const template = isRoute(pathname, answer) ? findTemplate(pathname) : undefined;
  const where = `${method} ${template ?? pathname} ${answer.status}`;
  const operation = template && operationOf(template, method);
  if (!operation) return undescribed(template, answer).map((each) => `${where}: ${each}`);
  const response = operation.responses[answer.status];
  if (!response) return [`${where}: the document has no such status; ${answer.text}`];
  const at = pointer('paths', template, verb(method), 'responses', String(answer.status));
  return [
    ...headerDifferences(response.headers, answer),
    ...bodyDifferences(at, response.content, method, answer),
  ].map((each) => `${where}: ${each}`);
}

/** Compiles the schema at a JSON Pointer into the document. */
export function schemaAt(at: string): ValidateFunction {
  const $ref = `openapi#${at}`;
  return ajv.getSchema($ref) ?? ajv.compile({ $ref });
}

export function pointer(...steps: string[]): string {
  return steps.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function verb(method: string): string {
  return method === 'HEAD' ? 'get' : method.toLowerCase();
}

function operationOf(template: string, method: string): OpenApiOperation | undefined {
  return document.paths[template]?.[verb(method)];
}

/** The router rejects a path that it cannot decode, and has no lab without LAB=1. */
function isRoute(pathname: string, { status }: Answered): boolean {
  try {
    decodeURIComponent(pathname);
  } catch {
    return false;
  }
  return !(pathname.startsWith('/lab') && status === 404);
}

/** The template with the fewest variables wins, as in OpenAPI. */
function findTemplate(pathname: string): string | undefined {
  const path = pathname.length > 1 ? pathname.replace(/\/$/, '') : pathname;
  return Object.keys(document.paths)
    .filter((template) =>
      new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )
    .sort((a, b) => a.split('{').length - b.split('{').length)[0];
}

function undescribed(template: string | undefined, answer: Answered): string[] {
  const name = template === undefined ? 'NotFound' : 'MethodNotAllowed';
  if (answer.status !== (template === undefined ? 404 : 405)) return ['is not in the document'];
  const response = document.components.responses[name] as OpenApiOperation['responses'][string];
  return [
    ...headerDifferences(response.headers, answer),
    ...bodyDifferences(pointer('components', 'responses', name), response.content, 'GET', answer),
  ];
}

function headerDifferences(described: Record<string, { $ref: string }>, answer: Answered) {
  const found: string[] = [];
  const names = new Set(Object.keys(described).map((name) => name.toLowerCase()));
  for (const name of HEADER_NAMES) {
    if (headerOf(answer, name) !== undefined && !names.has(name) && name !== 'idempotency-key')
      found.push(`the header ${name} is not in the document`);
  }
  for (const [name, { $ref }] of Object.entries(described)) {
    const value = headerOf(answer, name);
    const component = $ref.split('/').at(-1) ?? '';
    if (value === undefined) {
      if (component.endsWith('-always')) found.push(`the header ${name} is missing`);
      continue;
    }
    const validate = schemaAt(pointer('components', 'headers', component, 'schema'));
    if (!validate(value)) found.push(`${name}: ${value}: ${ajv.errorsText(validate.errors)}`);
  }
  return found;
}

function bodyDifferences(
  at: string,
  content: Record<string, object> | undefined,
  method: string,
  answer: Answered,
): string[] {
  if (method === 'HEAD' || !content) {
    return answer.text === '' ? [] : [`has a body: ${answer.text}`];
  }
  const type = headerOf(answer, 'content-type')?.split(';')[0] ?? 'none';
  const described = type in content ? type : '*/*' in content ? '*/*' : undefined;
  if (described === undefined) return [`the media type ${type} is not in the document`];
  const validate = schemaAt(`${at}${pointer('content', described, 'schema')}`);
  const value: unknown = /\bjson$/.test(type) ? JSON.parse(answer.text) : answer.text;
  if (validate(value)) return [];
  return [`${ajv.errorsText(validate.errors)}; ${answer.text.slice(0, 500)}`];
}

function headerOf({ headers }: Answered, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(', ') : value;
}
