import { join } from 'node:path';

/** A program of the build that this run tests, `src/programs/api.js`; global-setup.mjs makes it, and nothing changes it. */
export function built(program: string): string {
  return join(builtIn(), program);
}

/** A single module of that build, `src/config.js`. */
export function builtModule(file: string): string {
  return join(builtIn(), 'modules', file);
}

/** For the programs of test/support, which import from it. */
export function buildEnv(): { CHARGE_ONCE_TEST_BUILD: string } {
  return { CHARGE_ONCE_TEST_BUILD: builtIn() };
}

function builtIn(): string {
  const folder = process.env.CHARGE_ONCE_TEST_BUILD;
  if (folder === undefined)
    throw new Error('global-setup.mjs has not run: start the tests by npm test');
  return folder;
}
