import { join } from 'node:path';

/**
 * A program of the build under test, such as `src/programs/api.js`. global-setup.mjs makes the build; it never changes.
 */
export function built(program: string): string {
  return join(builtIn(), program);
}

/** A module of that build, such as `src/config.js`. */
export function builtModule(file: string): string {
  return join(builtIn(), 'modules', file);
}

/** For the programs in test/support, which import from the build. */
export function buildEnv(): { CHARGE_ONCE_TEST_BUILD: string } {
  return { CHARGE_ONCE_TEST_BUILD: builtIn() };
}

function builtIn(): string {
  const folder = process.env.CHARGE_ONCE_TEST_BUILD;
  if (folder === undefined)
    throw new Error('global-setup.mjs has not run: start the tests with npm test');
  return folder;
}
