import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCampaign } from '../campaign.js';
import { nameOf, WHOLE_PLAN } from '../plan.js';
import { USUAL_SHARES } from '../purposes.js';
import type { Bug } from './bug.js';
import { BUGS } from './bugs.js';
import { buildWithBug } from './build.js';

/** Long enough for a few hundred requests. Bugs in effects are found only at the end. */
const CAMPAIGN_MS = 25_000;
const REQUESTS = 300;
const SEED = 15;
/** Added to the usual shares, whose sum is 100: about three of four. */
const MOSTLY_SHARE = 250;

export interface PlantedOptions {
  /** The repository, whose sources are copied and patched. */
  root: string;
  folder: string;
  /** Parts of the names of bugs. Empty: all. */
  names: string[];
  log: (line: string) => void;
}

/** The result for one bug. */
export interface Found {
  bug: string;
  /** The broken rules. Empty: it was not found. */
  rules: string[];
  seconds: number;
  isFound: boolean;
}

/** Builds and breaks the service with one bug at a time. @returns 0 if each was found, otherwise 1 */
export async function runPlanted({ root, folder, names, log }: PlantedOptions): Promise<number> {
  const bugs = BUGS.filter(({ name }) => names.every((part) => name.includes(part)));
  if (bugs.length === 0) throw new Error(`no planted bug has ${names.join(' and ')} in its name`);
  const found: Found[] = [];
  await mkdir(folder, { recursive: true });
  for (const [i, bug] of bugs.entries()) {
    const result = await findOne(root, folder, bug);
    found.push(result);
    const how = result.isFound ? 'found' : 'NOT FOUND';
    log(
      `${String(i + 1).padStart(2)}/${bugs.length}  ${how} after ${result.seconds} s: ${bug.name} (${result.rules.join(', ')})`,
    );
    await writeFile(join(folder, 'planted.json'), `${JSON.stringify(found, null, 2)}\n`);
  }
  const missed = found.filter(({ isFound }) => !isFound).length;
  log(`${found.length - missed} of ${found.length} planted bugs were found`);
  return missed === 0 ? 0 : 1;
}

async function findOne(root: string, folder: string, bug: Bug): Promise<Found> {
  const programs = await buildWithBug(root, bug.patches, bug.name);
  const own = join(folder, bug.name.replaceAll(/\W+/g, '-'));
  await rm(own, { recursive: true, force: true });
  const { violations, foundAfterMs = 0 } = await runCampaign({
    seed: SEED,
    ms: bug.ms ?? CAMPAIGN_MS,
    plan: WHOLE_PLAN.filter((cell) => bug.cells?.includes(nameOf(cell))),
    folder: own,
    programs,
    shares: bug.mostly && { ...USUAL_SHARES, [bug.mostly]: MOSTLY_SHARE },
    requests: REQUESTS,
    endsAt: bug.foundBy,
    effectsLimitMs: 35_000,
    log: () => undefined,
  });
  await rm(join(root, '.build', 'planted'), { recursive: true, force: true });
  const rules = [...new Set(violations.map(({ rule }) => rule))];
  const isFound = bug.foundBy.some((rule) => rules.includes(rule));
  return { bug: bug.name, rules, seconds: Math.round(foundAfterMs / 1000), isFound };
}
