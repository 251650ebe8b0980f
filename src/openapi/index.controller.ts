import { Controller, Get, Inject } from '@nestjs/common';
import { Answers, Describe, Tagged } from '../http/description/route.js';
import { path, ref } from '../http/description/schema.js';
import { Public } from '../http/public.js';
import type { OpenApiDocument } from './document.js';
import { OPENAPI_DOCUMENT } from './openapi.controller.js';

const LINKS = {
  docs: '/docs',
  openapi: '/openapi.json',
  problems: '/problems',
  ready: '/health/ready',
  metrics: '/metrics',
};

/** With LAB=1 only. `lab` is the part of the documentation about faults and the naive lane. */
const LAB_LINKS = { lab: '/docs#/Lab', ledger: '/lab/ledger', ledger_text: '/lab/ledger.txt' };

/** `GET /`: where a newcomer begins. */
@Public()
@Tagged('Operation')
@Controller()
export class IndexController {
  constructor(@Inject(OPENAPI_DOCUMENT) private readonly document: OpenApiDocument) {}

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
}
