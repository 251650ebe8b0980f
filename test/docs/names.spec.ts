import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

/**
 * Everything that a page names must exist: files of the repository, links to files, scripts of package.json. Not
 * checked: src/idempotency/README.md, because it names files that its reader creates.
 */
const docs = await readdir('docs', { recursive: true });
const PAGES = [
  ...[
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'README.md',
    'bench/README.md',
    'src/conformance/README.md',
  ],
  ...docs.filter((name) => name.endsWith('.md')).map((name) => join('docs', name)),
];
const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: object };

const PATH = /(?<![\w./@-])(?:src|test|migrations|bench|docs|build)\/[\w./-]*[\w/]/g;
const LINK = /\]\(([^)#:\s]+)(?:#[^)]*)?\)/g;
const SCRIPT = /\bnpm (?:run ([a-z:]+)|(start|test)\b)/g;

/** The beginning of a file's name is enough, as for Jest. */
async function missing(paths: string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      const names = await readdir(dirname(path)).catch(() => []);
      return names.some((name) => name.startsWith(basename(path)));
    }),
  );
  return paths.filter((_path, i) => !found[i]);
}

describe.each(PAGES)('%s', (page) => {
  test('names only files that exist', async () => {
    const text = await readFile(page, 'utf8');
    const links = [...text.matchAll(LINK)].map(([, link]) => join(dirname(page), link!));
    const paths = [...text.replaceAll(LINK, ']').matchAll(PATH)].map(([path]) => path);
    expect(await missing([...links, ...paths])).toEqual([]);
  });

  test('names only scripts that exist', async () => {
    const text = await readFile(page, 'utf8');
    const names = [...text.matchAll(SCRIPT)].map(([, run, short]) => run ?? short);
    expect(names.filter((name) => !(name! in scripts))).toEqual([]);
  });
});
