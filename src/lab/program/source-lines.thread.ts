import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parentPort } from 'node:worker_threads';
import type { Source } from '../journal.js';

// Reads source maps in its own thread: that takes a second of CPU, and no event must wait for it.

/** Frames that only carry a statement. */
const CARRIERS = /\/src\/(?:database|lab)\/|\/src\/idempotency\/database\./;

const maps = new Map<string, SourceMap | undefined>();

/** The first of our frames that is not a carrier. @param frames as the recorder writes them. */
function sourceOf(frames: readonly string[]): Source | undefined {
  let file = '';
  for (const frame of frames) {
    const [, named, line, column] = /^(?:(file:.*):)?(\d+):(\d+)$/.exec(frame) ?? [];
    file = named ?? file;
    const origin = mapOf(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (!origin || !('originalSource' in origin)) continue;
    const path = resolve(fileURLToPath(new URL('.', file)), origin.originalSource);
    const ours = /\/((?:src|migrations)\/.*\.ts)$/.exec(path)?.[1];
    if (ours === undefined || path.includes('/node_modules/') || CARRIERS.test(path)) continue;
    if (existsSync(path)) return { file: ours, line: origin.originalLine + 1 };
  }
  return undefined;
}

function mapOf(file: string): SourceMap | undefined {
  if (!maps.has(file)) maps.set(file, readMap(file));
  return maps.get(file);
}

function readMap(file: string): SourceMap | undefined {
  try {
    const map = new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(file)}.map`, 'utf8')));
    map.findEntry(0, 0); // decodes it now
    return map;
  } catch {
    return undefined; // a module that was not bundled
  }
}

parentPort?.on('message', ({ key, frames }: { key: string; frames: string[] }) =>
  parentPort?.postMessage({ key, source: sourceOf(frames) }),
);

for (const name of readdirSync(new URL('../../programs/', import.meta.url)))
  if (name.endsWith('.js')) mapOf(new URL(`../../programs/${name}`, import.meta.url).href);
