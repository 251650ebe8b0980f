import { writeFile } from 'node:fs/promises';
import { ModulesContainer, NestFactory } from '@nestjs/core';
import { AppModule } from '../app.module.js';
import { loadConfig } from '../config.js';
import { openApiDocument, OPENAPI_OPTIONS } from '../openapi/document.js';

// `npm run openapi`: writes the document, as `npm start` serves it with the lab, to docs/. Nest reads the modules but
// creates no instance, so this needs no database.
const file = process.argv[2] ?? 'docs/openapi.json';
const config = loadConfig({ LAB: '1', DATABASE_URL: 'postgres://unused' });
const app = await NestFactory.create(AppModule.forRoot(config), {
  preview: true,
  logger: ['error'],
});
const document = openApiDocument(app.get(ModulesContainer), app.get(OPENAPI_OPTIONS));
await writeFile(file, `${JSON.stringify(document, null, 2)}\n`);
console.log(`${file} written`);
