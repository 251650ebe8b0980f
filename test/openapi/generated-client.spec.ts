import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript';
import ts from 'typescript';
import { document } from '../support/openapi.js';

test('a generated client compiles correct calls and rejects wrong ones', async () => {
  const generated = astToString(await openapiTS(document as unknown as OpenAPI3));
  const home = await mkdtemp(join(tmpdir(), 'charge-once-client-'));
  try {
    await writeFile(join(home, 'generated.ts'), generated);
    const calls = join(home, 'calls.ts');
    await cp('test/fixtures/generated-client/calls.ts', calls);
    const program = ts.createProgram([calls], {
      strict: true,
      noEmit: true,
      skipLibCheck: true, // TypeScript's own declarations are not tested here and would take two thirds of the time
      types: [],
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
    });
    const errors = ts.getPreEmitDiagnostics(program).map((each) => {
      const line = each.file?.getLineAndCharacterOfPosition(each.start ?? 0).line ?? -1;
      return `${each.file?.fileName}:${line + 1} ${ts.flattenDiagnosticMessageText(each.messageText, '\n')}`;
    });
    expect(errors).toEqual([]);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
