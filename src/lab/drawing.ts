import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Run } from './run.js';

/** Where the build puts the page: beside the programs, into which this module is bundled. */
export const PAGE = fileURLToPath(new URL('../lab/page/', import.meta.url));

interface Renderer {
  svgOf(run: Run, css: string): string;
  htmlOf(run: Run, css: string): string;
}

/** A self-contained picture. @param run if it comes from a file, it must have been validated. */
export async function svgOf(run: Run): Promise<string> {
  return (await renderer()).svgOf(run, css('diagram'));
}

/** A self-contained page. */
export async function htmlOf(run: Run): Promise<string> {
  return (await renderer()).htmlOf(run, css('styles'));
}

/** The page's own diagram, bundled for Node. */
function renderer(): Promise<Renderer> {
  return import(pathToFileURL(`${PAGE}export.js`).href) as Promise<Renderer>;
}

function css(name: 'diagram' | 'styles'): string {
  return readFileSync(`${PAGE}${name}.css`, 'utf8').replace(/\n*\/\*# sourceMappingURL.*/, '');
}
