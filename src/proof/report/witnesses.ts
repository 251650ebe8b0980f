import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { svgOf } from '../../lab/drawing.js';
import { digest } from '../checker/digest.js';
import type { Violation } from '../checker/violation.js';
import type { Journals } from '../history.js';
import { violationsPage, type Drawing } from './violations-html.js';
import { witnessRun } from './witness-run.js';

/** The limit for each rule: a fault that breaks a rule breaks it for many keys. */
const MAX_PICTURES = 3;

/**
 * Writes a run file of the lab for each violation, pictures for the first of each rule, and a page with both.
 * @returns the drawing of each violation
 */
export async function writeWitnesses(
  folder: string,
  journals: Journals,
  violations: readonly Violation[],
): Promise<Drawing[]> {
  const own = join(folder, FOLDER);
  await rm(own, { recursive: true, force: true }); // from an earlier check of these journals
  if (violations.length === 0) return [];
  await mkdir(own, { recursive: true });
  const known = digest(journals);
  const pictures = new Map<string, number>();
  const drawings: Drawing[] = [];
  for (const [i, violation] of violations.entries()) {
    const name = nameOf(i + 1, violation);
    const run = witnessRun(known, violation, name);
    await writeFile(join(own, `${name}.json`), `${JSON.stringify(run)}\n`);
    const count = (pictures.get(violation.rule) ?? 0) + 1;
    pictures.set(violation.rule, count);
    const svg = count <= MAX_PICTURES ? await svgOf(run) : undefined;
    if (svg !== undefined) await writeFile(join(own, `${name}.svg`), svg);
    drawings.push({ file: `${FOLDER}/${name}.json`, svg });
  }
  await writeFile(join(own, 'index.html'), violationsPage(violations, drawings));
  return drawings;
}

const FOLDER = 'witnesses';

/** `7-one-payment-for-a-key` */
const nameOf = (n: number, { rule }: Violation) => `${n}-${rule.replaceAll(/\W+/g, '-')}`;
