import { Module, type DynamicModule } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { openApiDocument, OPENAPI_OPTIONS, type OpenApiOptions } from './document.js';
import { IndexController } from './index.controller.js';
import { OPENAPI_DOCUMENT, OpenApiController } from './openapi.controller.js';

@Module({})
export class OpenApiModule {
  static forRoot(options: OpenApiOptions): DynamicModule {
    return {
      module: OpenApiModule,
      controllers: [IndexController, OpenApiController],
      providers: [
        { provide: OPENAPI_OPTIONS, useValue: options },
        {
          provide: OPENAPI_DOCUMENT,
          inject: [ModulesContainer, OPENAPI_OPTIONS],
          useFactory: openApiDocument,
        },
      ],
    };
  }
}
