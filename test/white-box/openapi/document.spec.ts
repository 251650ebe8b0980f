import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ModulesContainer, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Validator } from '@seriousme/openapi-schema-validator';
import { IsHexColor } from 'class-validator';
import type { Application } from 'express';
import { AppModule } from '../../../src/app.module.js';
import { loadConfig } from '../../../src/config.js';
import {
  openApiDocument,
  OPENAPI_OPTIONS,
  type OpenApiDocument,
} from '../../../src/openapi/document.js';
import { schemaOf } from '../../../src/http/description/input-schema.js';
import type { Schema } from '../../../src/http/description/schema.js';
import { createHttpApp } from '../../../src/http/http-process.js';
import { PROBLEMS } from '../../../src/problems/problem-catalogue.js';
import { document, pointer, schemaAt } from '../../support/openapi.js';

async function documentOf({ lab }: { lab: boolean }): Promise<OpenApiDocument> {
  const config = { ...loadConfig({ DATABASE_URL: 'postgres://unused' }), lab };
  const app = await NestFactory.create(AppModule.forRoot(config), {
    preview: true,
    logger: false,
  });
  return openApiDocument(app.get(ModulesContainer), app.get(OPENAPI_OPTIONS));
}

/** Every route of the router, named as in the document. */
function routesInRouter(app: NestExpressApplication): string[] {
  const { router } = app.getHttpAdapter().getInstance() as unknown as Application;
  return router.stack.flatMap(({ route }) => {
    if (!route || route.path.includes('*')) return []; // middleware
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    return route.stack.map(({ method }) => `${method.toUpperCase()} ${path}`);
  });
}

/** Every `example` and `examples`, with the pointer to its schema. */
function examples(node: unknown, at = ''): { at: string; value: unknown }[] {
  if (typeof node !== 'object' || node === null) return [];
  const here = node as Record<string, unknown>;
  const found: { at: string; value: unknown }[] = [];
  if ('schema' in here) {
    if ('example' in here) found.push({ at: `${at}/schema`, value: here.example });
    for (const each of Object.values(here.examples ?? {})) {
      found.push({ at: `${at}/schema`, value: (each as { value: unknown }).value });
    }
  }
  const below = Object.entries(here).filter(([name]) => !name.startsWith('example'));
  return [...found, ...below.flatMap(([name, each]) => examples(each, at + pointer(name)))];
}

interface Parameter {
  name: string;
  required?: boolean;
  example?: unknown;
  examples?: unknown;
  schema: { default?: unknown; example?: unknown; examples?: unknown };
}

describe('the OpenAPI document', () => {
  test('is checked in as the code generates it (npm run openapi)', async () => {
    expect(document).toEqual(JSON.parse(JSON.stringify(await documentOf({ lab: true }))));
  });

  test('contains no lab without LAB=1', async () => {
    const names = JSON.stringify((await documentOf({ lab: false })).paths);
    expect(names).not.toContain('/lab');
    expect(names).not.toContain('Lab-Fault');
    expect(JSON.stringify(document.paths)).toContain('/lab/naive/charges');
  });

  test('has examples that fit their schemas', () => {
    const all = examples(document);
    expect(all.length).toBeGreaterThan(200);
    const broken = all.filter(({ at, value }) => !schemaAt(at)(value));
    expect(broken).toEqual([]);
  });

  test('is valid by the schema of OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
  });

  test('has no example for an optional header, query or cookie', () => {
    const optional = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { parameters }]) =>
        (parameters as Parameter[])
          .filter(({ required }) => required !== true)
          .map((parameter) => ({ at: `${method} ${path} ${parameter.name}`, parameter })),
      ),
    );
    expect(optional.length).toBeGreaterThan(40);
    const filledIn = optional.filter(({ parameter: { example, examples, schema } }) =>
      [example, examples, schema.default, schema.example, schema.examples].some(
        (each) => each !== undefined,
      ),
    );
    expect(filledIn).toEqual([]);
  });

  test('describes every problem where it can occur', () => {
    const text = JSON.stringify([document.paths, document.components.responses]);
    const missing = Object.keys(PROBLEMS).filter((code) => !text.includes(`problem.${code}`));
    expect(missing).toEqual([]);
  });

  test('states the rule of keys, and what each `retry` allows, at the route that takes money', () => {
    const rule = 'One key per purchase; a retry reuses it; a new key is a new charge.';
    expect(document.paths['/charges']?.post?.description).toContain(rule);
    const { description } = document.info as { description: string };
    expect(description).toContain(rule);
    for (const retry of ['same_key', 'after_fix', 'new_key', 'no']) {
      expect(description).toContain(`| \`${retry}\` |`);
    }
    const headings = description.split('\n').filter((line) => line.startsWith('#'));
    expect(headings.filter((line) => !/^## [A-Z]/.test(line))).toEqual([]);
  });

  test.each(['/charges', '/lab/naive/charges'])(
    'refuses a body of POST %s that the API refuses',
    (path) => {
      const body = pointer('paths', path, 'post', 'requestBody', 'content', 'application/json');
      const validate = schemaAt(`${body}/schema`);
      const charge = { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa' };
      expect(validate(charge)).toBe(true);
      expect(validate({ order: 'order_8472', payment_method: 'pm_card_visa' })).toBe(true);
      expect(validate({ ...charge, order: 'order_8472' })).toBe(true);
      expect(validate({ ...charge, amonut: 1200 })).toBe(false);
      expect(validate({ ...charge, description: null })).toBe(false);
      expect(validate({ payment_method: 'pm_card_visa' })).toBe(false);
      expect(validate({ ...charge, currency: undefined })).toBe(false);
    },
  );

  test('has the limits of the API', () => {
    const { PutOrder, PutProduct, CreateCharge } = document.components.schemas as Record<
      string,
      { properties: Record<string, Schema>; anyOf?: Schema[] }
    >;
    expect(PutOrder?.properties.items?.items?.properties).toMatchObject({
      quantity: { type: 'integer', minimum: 1, maximum: 10_000 },
      unit_amount: { type: 'integer', minimum: 0, maximum: 99_999_999 },
    });
    expect(PutProduct?.properties.on_hand).toMatchObject({ minimum: 0, maximum: 99_999_999 });
    expect(CreateCharge?.anyOf).toHaveLength(2);
    for (const { properties } of CreateCharge?.anyOf ?? []) {
      expect(properties?.amount).toMatchObject({ minimum: 1, maximum: 99_999_999 });
    }
    const { parameters } = document.paths['/charges']?.get as unknown as {
      parameters: Parameter[];
    };
    expect(parameters.find(({ name }) => name === 'limit')?.schema).toEqual({
      type: 'integer',
      minimum: 1,
      maximum: 100,
    });
  });

  test('cannot be generated with an unknown validator', () => {
    class Unknown {
      @IsHexColor()
      currency: string;
    }
    expect(() => schemaOf(Unknown)).toThrow('Unknown.currency: no schema for isHexColor');
  });

  describe('against the router', () => {
    let app: NestExpressApplication;
    beforeAll(async () => {
      app = await createHttpApp(AppModule.forRoot(loadConfig({ ...process.env, LAB: '1' })));
      app.useLogger(false);
      await app.init();
    });
    afterAll(async () => {
      await app.close();
    });

    test('describes every route of the code, and no other', () => {
      const described = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      );
      expect(described.sort()).toEqual(routesInRouter(app).sort());
    });
  });
});
