import { Controller, Get, Inject } from '@nestjs/common';
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
@Controller()
export class IndexController {
  constructor(@Inject(OPENAPI_DOCUMENT) private readonly document: OpenApiDocument) {}

  @Get()
  links(): Record<string, string> {
    return { ...LINKS, ...(LAB_LINKS.ledger in this.document.paths && LAB_LINKS) };
  }
}
