import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Controller, Get, Header, Inject, Param, Res } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import type { Response } from 'express';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import { path, ref } from '../http/description/schema.js';
import { Problem } from '../http/problems/problem.js';
import { Public } from '../http/public.js';
import { DOCS_PAGE, docsScript } from './docs-page.js';
import {
  OPENAPI_OPTIONS,
  openApiDocument,
  type OpenApiDocument,
  type OpenApiOptions,
} from './document.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

const LINKS = {
  docs: '/docs',
  openapi: '/openapi.json',
  problems: '/problems',
  ready: '/health/ready',
  metrics: '/metrics',
};

/** With LAB=1 only. `lab` is the part of the documentation about faults and the naive lane. */
const LAB_LINKS = { lab: '/docs#/Lab', ledger: '/lab/ledger', ledger_text: '/lab/ledger.txt' };

const UI = createRequire(import.meta.url)('swagger-ui-dist/absolute-path.js') as () => string;

const FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

/** The index, and the description of the API for machines and, as Swagger UI, for people. All of it is on this server. */
@Public()
@Tagged('Operation')
@Controller()
export class OpenApiController {
  private readonly document: OpenApiDocument;

  constructor(
    modules: ModulesContainer,
    @Inject(OPENAPI_OPTIONS) private readonly options: OpenApiOptions,
  ) {
    this.document = openApiDocument(modules, options);
  }

  /** Where a newcomer begins. */
  @Get()
  @Describe('getLinks', 'The index of this server')
  @Answers(200, 'Paths on this server.', {
    schema: ref('Links'),
    components: { Links: { type: 'object', additionalProperties: path } },
    example: { docs: '/docs', openapi: '/openapi.json', problems: '/problems' },
  })
  links(): Record<string, string> {
    return { ...LINKS, ...(LAB_LINKS.ledger in this.document.paths && LAB_LINKS) };
  }

  @Get('openapi.json')
  @Describe('getOpenApi', 'This document')
  @Answers(200, 'OpenAPI 3.1.', {
    schema: { type: 'object', properties: { openapi: { type: 'string' } } },
  })
  json(): OpenApiDocument {
    return this.document;
  }

  @Get('docs')
  @Describe('getDocs', 'This document for people (Swagger UI)')
  @Answers(200, 'A page; its files come from this server.')
  @Header('Content-Type', 'text/html; charset=utf-8')
  page(): string {
    return DOCS_PAGE;
  }

  @Get('docs/:file')
  @Describe('getDocsFile', 'A file of Swagger UI', { path: { file: 'Its name.' } })
  @Answers(200, 'The file.', { schema: {}, mediaType: '*/*' })
  @Problems(NOT_FOUND)
  async file(@Param('file') file: string, @Res() response: Response): Promise<void> {
    if (file === 'start.js') {
      response.type('text/javascript').send(docsScript(this.options.demoApiKey));
      return;
    }
    if (!FILES.includes(file)) {
      throw new Problem(NOT_FOUND, 'There is no such file.', { retry: 'after_fix' });
    }
    // Not `sendFile`: its answers to ranges and conditions (206, 304, 412, 416) would be 500 here, or not as documented.
    const content = await readFile(join(UI(), file));
    response.type(file).setHeader('Cache-Control', 'public, max-age=3600').send(content);
  }
}
