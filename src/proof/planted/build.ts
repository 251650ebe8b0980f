import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Patch } from './bug.js';

/** The programs that a campaign starts. Fewer programs build faster. */
const PROGRAMS = [
  'programs/account',
  'programs/api',
  'programs/migrate',
  'programs/worker',
  'sandbox/main',
];

/** Sources that none of these programs imports, and that take the longest to build. */
const LEFT_OUT = ['src/lab/page', 'src/proof', 'src/conformance'];

type Compile = (
  root: string,
  sources: string[],
  folder: string,
  cache: string,
  programs: string[],
) => Promise<void>;

/**
 * Applies the patches to a copy of the sources and builds it.
 * @param root the repository. @returns the folder of the built programs
 * @throws Error if the text of a patch does not occur exactly once: the source has changed, and so must the bug.
 */
export async function buildWithBug(root: string, patches: Patch[], name: string): Promise<string> {
  const copy = join(root, '.build', 'planted', name.replaceAll(/\W+/g, '-'));
  await rm(copy, { recursive: true, force: true });
  await mkdir(copy, { recursive: true });
  const leftOut = LEFT_OUT.map((part) => join(root, part));
  for (const part of ['src', 'migrations', 'tsconfig.json'])
    await cp(join(root, part), join(copy, part), {
      recursive: true,
      filter: (from) => !leftOut.includes(from),
    });
  for (const patch of patches) await apply(copy, patch);
  const sources = (
    await Promise.all(['src', 'migrations'].map((part) => sourcesIn(copy, part)))
  ).flat();
  const { compile } = (await import(pathToFileURL(join(root, 'build/compile.mjs')).href)) as {
    compile: Compile;
  };
  await compile(copy, sources, join(copy, 'dist'), join(root, '.build', 'cache'), PROGRAMS);
  return join(copy, 'dist', 'src', 'programs');
}

async function apply(root: string, { file, text, replacement }: Patch): Promise<void> {
  const path = join(root, file);
  const source = await readFile(path, 'utf8');
  const found = source.split(text).length - 1;
  if (found !== 1)
    throw new Error(`${file} has the text of the planted bug ${found} times, not once:\n${text}`);
  await writeFile(
    path,
    source.replace(text, () => replacement),
  );
}

async function sourcesIn(root: string, part: string): Promise<string[]> {
  const names = await readdir(join(root, part), { recursive: true });
  return names.filter((name) => /(?<!\.d)\.ts$|\.sql$/.test(name)).map((name) => join(part, name));
}
