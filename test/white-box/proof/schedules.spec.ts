import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { explore, replay } from '../../../src/proof/schedules/explore.js';
import { judge } from '../../../src/proof/schedules/judge.js';
import { Lane } from '../../../src/proof/schedules/lane.js';
import { scenarioOf, TWO } from '../../../src/proof/schedules/scenario.js';
import { tableOf } from '../../../src/proof/schedules/table.js';
import { freshDatabase, type TestDatabase } from '../../support/database.js';

let databases: TestDatabase[];
let lanes: Lane[];
beforeAll(async () => {
  databases = [await freshDatabase(), await freshDatabase(), await freshDatabase()];
  lanes = await Promise.all(databases.map(({ url }) => Lane.open(url)));
});
afterAll(async () => {
  await Promise.all(lanes.map((lane) => lane.close()));
  await Promise.all(databases.map((database) => database.drop()));
});

/** Runs all schedules of a scenario. @returns their number, and the tables of those that broke a promise. */
async function runAll(name: string) {
  const broken: string[] = [];
  const count = await explore(lanes, scenarioOf(name), (run) => {
    const sentences = judge(run);
    if (sentences.length > 0) broken.push(tableOf(run, sentences));
  });
  return { count, broken };
}

test.each(Object.entries(TWO))(
  '%s keeps every promise in each of its %i schedules',
  async (name, count) => {
    expect(await runAll(name)).toEqual({ count, broken: [] });
  },
);

test('the schedule that docs/proof.md names exists, and keeps every promise', async () => {
  const [, name, choices] = /--only (\S+):(\S+)/.exec(readFileSync('docs/proof.md', 'utf8'))!;
  const run = await replay(lanes[0]!, scenarioOf(name!), choices!.split(','));
  expect([run.choices.join(), judge(run)]).toEqual([choices, []]);
});

/** Runs with the engine's statements changed, as if it had that bug. */
async function withBug<Result>(
  rewrite: (sql: string) => string,
  run: (lane: Lane) => Promise<Result>,
) {
  const lane = await Lane.open(databases[0]!.url, rewrite);
  try {
    return await run(lane);
  } finally {
    await lane.close();
  }
}

test('a duplicate that ignores the lease of the holder is found', async () => {
  const ignoresLease = (sql: string) =>
    sql.replaceAll(
      "state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), true) AS free",
      "state = 'in_progress' AS free",
    );
  const choices = [...'001111']; // the second request arrives while the first one calls the processor
  const scenario = scenarioOf('request+request');
  const run = await withBug(ignoresLease, (lane) => replay(lane, scenario, choices));
  expect(judge(run)).toContain('the processor was called 2 times');
});

test('a settlement that does not lock its record is found', async () => {
  const doesNotLock = (sql: string) =>
    sql.startsWith('SELECT 1 FROM idempotency_records') ? sql.replace('FOR UPDATE', '') : sql;
  // The request is about to settle its order. The sweep lists its record, and claims it inside of the settlement.
  const choices = [...'000000000', 'lease', ...'100100000'];
  const scenario = scenarioOf('request+sweep/order/lease');
  const run = await withBug(doesNotLock, (lane) => replay(lane, scenario, choices));
  expect(judge(run)).toContain('the record is not completed');
});
