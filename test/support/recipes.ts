import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const page = await readFile('docs/clients.md', 'utf8');

/** The code blocks of docs/clients.md by name, in order: ```js charge-once */
export const recipes: ReadonlyMap<string, { language: string; code: string }> = new Map(
  [...page.matchAll(/^```(\w+) ([\w-]+)\n([^]*?)^```$/gm)].map(
    ([, language = '', name = '', code = '']) => [name, { language, code }],
  ),
);

/** The number of all blocks, including unnamed ones. */
export const blocks = [...page.matchAll(/^```\w/gm)].length;
export { page };

export function recipe(name: string): string {
  const found = recipes.get(name);
  if (!found) throw new Error(`docs/clients.md has no block ${name}`);
  return found.code;
}

export interface ChargeOnce {
  (request: {
    api: string;
    apiKey: string;
    key: string;
    body: object;
    attempts?: number;
    sleep?: (ms: number) => Promise<void>;
  }): Promise<{ status: number; body: Record<string, string> }>;
}

/** Writes the JavaScript recipes into one folder, as a reader would, and loads one. */
export async function loadRecipe<Exports>(name: string): Promise<Exports> {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-recipes-'));
  try {
    for (const [each, { language, code }] of recipes) {
      if (language === 'js') await writeFile(join(home, `${each}.mjs`), code);
    }
    return (await import(pathToFileURL(join(home, `${name}.mjs`)).href)) as Exports;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
