import { writeFile } from 'node:fs/promises';
import { openApiDocument } from '../openapi/document.js';

// `npm run openapi`: writes the document, as `npm start` serves it (lab included), to docs/. Needs no database.
const file = process.argv[2] ?? 'docs/openapi.json';
await writeFile(file, `${JSON.stringify(openApiDocument({ lab: true }), null, 2)}\n`);
console.log(`${file} written`);
