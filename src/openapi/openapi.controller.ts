import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Controller, Get, Header, Inject, Param, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Problem } from '../platform/problem.js';
import { Public } from '../platform/public.js';
import type { OpenApiDocument } from './document.js';

export const OPENAPI_DOCUMENT = Symbol('OPENAPI_DOCUMENT');

const UI = createRequire(import.meta.url)('swagger-ui-dist/absolute-path.js') as () => string;

/** What the page loads, and nothing else of the package. */
const FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

// Absolute paths, so that /docs works with and without a slash at its end; no script or style in the page itself.
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>charge-once API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

// validatorUrl: by default the page asks a validator on the internet.
const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: true,
});
`;

/** The description of the API for machines and, as Swagger UI, for people. Everything comes from this server. */
@Public()
@Controller()
export class OpenApiController {
  constructor(@Inject(OPENAPI_DOCUMENT) private readonly document: OpenApiDocument) {}

  @Get('openapi.json')
  json(): OpenApiDocument {
    return this.document;
  }

  @Get('docs')
  @Header('Content-Type', 'text/html; charset=utf-8')
  page(): string {
    return PAGE;
  }

  @Get('docs/:file')
  file(@Param('file') file: string, @Res() response: Response): void {
    if (file === 'start.js') {
      response.type('text/javascript').send(START);
      return;
    }
    if (!FILES.includes(file)) {
      throw new Problem('not_found', 'There is no such file.', { retry: 'after_fix' });
    }
    // `dotfiles`: the package may be installed below a directory whose name begins with a dot.
    response.sendFile(join(UI(), file), { dotfiles: 'allow', maxAge: '1h' });
  }
}
