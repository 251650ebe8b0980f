import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runJobsCommand } from '../../../src/programs/jobs.command.js';
import { runToEnd } from '../../operation/operation.support.js';
import { openFreshDatabase, type OpenDatabase } from '../../support/open-database.js';

/** How `npm run jobs` is used. What it does: dead-letters.spec.ts. */
let database: OpenDatabase;
beforeAll(async () => {
  database = await openFreshDatabase(1);
});
afterAll(() => database.close());

const program = (url: string, ...args: string[]) =>
  runToEnd('jobs.js', { DATABASE_URL: url }, args);

describe('npm run jobs', () => {
  const EXPLAINED = /Unknown command|An id is a number/;

  test.each(['nonsense', 'retry', 'list all', 'retry -1', 'retry 1;2', 'resolve', 'resolve pi_1'])(
    'prints its usage for %s',
    async (words) => {
      await expect(runJobsCommand(database.db, words.split(' '))).rejects.toMatchObject({
        usage: true,
        message: expect.stringMatching(EXPLAINED),
      });
    },
  );

  test('exits with 64 if its usage is wrong', async () => {
    const { exit, output } = await program(database.url, 'nonsense');
    expect([exit, output]).toEqual([64, expect.stringMatching(EXPLAINED)]);
  });

  test('reports a missing schema', async () => {
    const { href } = Object.assign(new URL(database.url), { pathname: '/postgres' });
    const { exit, output } = await program(href, 'list');
    expect([exit, output]).toEqual([1, 'The database is empty. Run `npm run migrate` first.\n']);
  });
});
