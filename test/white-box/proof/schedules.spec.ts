import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { explore } from '../../../src/proof/schedules/explore.js';
import { judge } from '../../../src/proof/schedules/judge.js';
import { Lane } from '../../../src/proof/schedules/lane.js';
import { scenarioOf } from '../../../src/proof/schedules/scenario.js';
import { tableOf } from '../../../src/proof/schedules/table.js';
import { freshDatabase, type TestDatabase } from '../../support/database.js';

let databases: TestDatabase[];
let lanes: Lane[];
beforeAll(async () => {
  databases = [await freshDatabase(), await freshDatabase()];
  lanes = await Promise.all(databases.map(({ url }) => Lane.open(url)));
});
afterAll(async () => {
  await Promise.all(lanes.map((lane) => lane.close()));
  await Promise.all(databases.map((database) => database.drop()));
});

test.each(['request+request', 'request+request/order', 'request+request/crash'])('%s', async (name) => {
  const began = performance.now();
  let shown = 0;
  let bad = 0, n = 0;
  const count = await explore(lanes, scenarioOf(name), (run) => {
    const broken = judge(run);
    n++;
    if (broken.length) bad++;
    if ((broken.length > 0 && shown++ < 3) || n === 3) process.stderr.write(tableOf(run, broken) + '\n');
  });
  process.stderr.write(`${name}: ${count} schedules, ${bad} bad, ${performance.now() - began} ms\n`);
  expect(bad).toBe(0);
});
