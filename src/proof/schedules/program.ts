import { join } from 'node:path';
import pg from 'pg';
import { migrate } from '../../database/migrate.js';
import { startEmbeddedPostgres } from '../../local/embedded-postgres.js';
import type { Run } from './run.js';
import { explore, replay } from './explore.js';
import { judge } from './judge.js';
import { Lane } from './lane.js';
import { MORE, scenarioOf } from './scenario.js';
import { tableOf } from './table.js';

/** Schedules that run at the same time. Most of their time they wait for PostgreSQL. */
const LANES = 3;
/** More tables than this of one scenario show nothing new. */
const MAX_SHOWN = 3;
const PROGRESS_MS = 30_000;

interface Options {
  /** The folder for the data of the PostgreSQL that is started for this. */
  folder: string;
  /** Names of scenarios. Empty: the scenarios that take too long for a test. */
  names: readonly string[];
  /** One schedule, as its table prints it: `scenario:choices`. */
  only?: string;
  log: (line: string) => void;
}

/** `npm run proof -- --schedules`. @returns the exit code: 1 if a schedule broke a promise. */
export async function runSchedules(options: Options): Promise<number> {
  const server = await startEmbeddedPostgres({
    dataDir: join(options.folder, 'postgres'),
    database: 'template',
    durable: false,
  });
  try {
    const lanes = await openLanes(server.adminUrl, options.only === undefined ? LANES : 1);
    const broken =
      options.only === undefined
        ? await all(lanes, options)
        : await one(lanes[0]!, options.only, options);
    for (const lane of lanes) await lane.close();
    return broken > 0 ? 1 : 0;
  } finally {
    await server.stop();
  }
}

async function openLanes(adminUrl: string, count: number): Promise<Lane[]> {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  const urlOf = (database: string) => Object.assign(new URL(adminUrl), { pathname: database }).href;
  await migrate(urlOf('template'));
  const lanes: Lane[] = [];
  for (let number = 0; number < count; number++) {
    const name = `lane_${number}`;
    await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${name} TEMPLATE template`);
    lanes.push(await Lane.open(urlOf(name)));
  }
  await admin.end();
  return lanes;
}

async function one(lane: Lane, only: string, { log }: Options): Promise<number> {
  const [name = '', choices = ''] = only.split(':');
  const run = await replay(lane, scenarioOf(name), choices.split(',').filter(Boolean));
  const broken = judge(run);
  log(tableOf(run, broken));
  return broken.length;
}

async function all(lanes: readonly Lane[], { names, log }: Options): Promise<number> {
  let total = 0;
  let broken = 0;
  for (const name of names.length > 0 ? names : MORE) {
    const began = performance.now();
    let shown = 0;
    let ran = 0;
    let reported = began;
    const count = await explore(lanes, scenarioOf(name), (run: Run) => {
      ran += 1;
      if (performance.now() - reported > PROGRESS_MS) {
        reported = performance.now();
        log(`${name}: ${ran} so far`);
      }
      const sentences = judge(run);
      if (sentences.length === 0) return;
      broken += 1;
      if (shown++ < MAX_SHOWN) log(`\nVIOLATION\n${tableOf(run, sentences)}\n`);
    });
    total += count;
    log(`${name}: ${count} schedules, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
  log(`${total} schedules, ${broken} broke a promise`);
  return broken;
}
