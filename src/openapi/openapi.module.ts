import { Module, type DynamicModule } from '@nestjs/common';
import { openApiDocument } from './document.js';
import { IndexController } from './index.controller.js';
import { OPENAPI_DOCUMENT, OpenApiController } from './openapi.controller.js';

@Module({})
export class OpenApiModule {
  static forRoot({ lab }: { lab: boolean }): DynamicModule {
    return {
      module: OpenApiModule,
      controllers: [IndexController, OpenApiController],
      providers: [{ provide: OPENAPI_DOCUMENT, useFactory: () => openApiDocument({ lab }) }],
    };
  }
}
