import { Module, type DynamicModule } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { DEMO_ACCOUNTS } from '../accounts/demo-accounts.js';
import { docsScript } from './docs-page.js';
import { openApiDocument } from './document.js';
import { IndexController } from './index.controller.js';
import { DOCS_SCRIPT, OPENAPI_DOCUMENT, OpenApiController } from './openapi.controller.js';

@Module({})
export class OpenApiModule {
  static forRoot({ lab }: { lab: boolean }): DynamicModule {
    return {
      module: OpenApiModule,
      controllers: [IndexController, OpenApiController],
      providers: [
        { provide: OPENAPI_DOCUMENT, inject: [ModulesContainer], useFactory: openApiDocument },
        { provide: DOCS_SCRIPT, useValue: docsScript(lab ? DEMO_ACCOUNTS.acme : undefined) },
      ],
    };
  }
}
