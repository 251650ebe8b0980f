// Runs a mutant in milliseconds. Stryker's own Jest runner takes most of a second for each, because Jest loads its
// configuration and all modules again. This one bundles the sources with the tests once. For each mutant it imports the
// bundle again, in the same process, and runs the tests with Jest's own circus and expect.
import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { jestExpect as expect } from '@jest/expect';
import * as esbuild from 'esbuild';
import * as circus from 'jest-circus';
import { transpiler } from '../../build/compile.mjs';

const SUPPORT = resolve(import.meta.dirname, '../support');

/** What Stryker's code in the sources reads and writes. */
const stryker = (globalThis.__stryker__ ??= {});

class CircusRunner {
  static inject = ['options'];

  constructor({ mutation }) {
    this.mutation = mutation;
  }

  capabilities = () => ({ reloadEnvironment: true });

  async init() {
    const copy = process.cwd(); // Stryker's copy of the project, with the mutants
    this.bundle = join(copy, 'mutants.mjs');
    await bundle(copy, this.mutation.tests, this.bundle);
    if (!this.mutation.database) return;
    process.env.JEST_WORKER_ID = `mutation_${process.pid}`;
    await (await import(join(SUPPORT, 'global-setup.mjs'))).default();
  }

  async dispose() {
    await rm(this.bundle, { force: true });
    if (this.mutation.database)
      await (await import(join(SUPPORT, 'global-teardown.mjs'))).default();
  }

  async dryRun() {
    stryker.activeMutant = undefined;
    const { tests, error } = await run(this.bundle, { isMeasured: true });
    if (error) return { status: 'error', errorMessage: error };
    return { status: 'complete', tests, mutantCoverage: stryker.mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit }) {
    Object.assign(stryker, { activeMutant: activeMutant.id, hitCount: 0, hitLimit });
    const { tests, error } = await run(this.bundle, { only: testFilter && new Set(testFilter) });
    if (hitLimit && stryker.hitCount > hitLimit) return { status: 'timeout', reason: 'hit limit' };
    const failed = tests.filter(({ status }) => status === FAILED);
    const nrOfTests = tests.length;
    if (!error && failed.length === 0) return { status: 'survived', nrOfTests };
    const killedBy = failed.map(({ id }) => id);
    return {
      status: 'killed',
      nrOfTests,
      killedBy,
      failureMessage: error ?? failed[0].failureMessage,
    };
  }
}

/** The tests, as one module that takes `@jest/globals` from this file. */
async function bundle(root, tests, outfile) {
  const transpile = transpiler(root); // esbuild does not know the metadata of decorators
  const own = {
    name: 'own',
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
        contents: transpile(relative(root, path), await readFile(path, 'utf8'), root),
      }));
      build.onResolve({ filter: /^@jest\/globals$/ }, () => ({
        path: 'globals',
        namespace: 'jest',
      }));
      build.onLoad({ filter: /.*/, namespace: 'jest' }, () => ({
        contents: `export const { ${Object.keys(GLOBALS).join(', ')} } = globalThis.${NAME};`,
      }));
    },
  };
  await esbuild.build({
    stdin: { contents: tests.map((file) => `import './${file}';`).join('\n'), resolveDir: root },
    outfile,
    plugins: [own],
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    keepNames: true,
    loader: { '.sql': 'text' },
    logLevel: 'error',
  });
}

const { describe, test, it, beforeAll, beforeEach, afterAll, afterEach } = circus;
const GLOBALS = { describe, test, it, beforeAll, beforeEach, afterAll, afterEach, expect };
const NAME = 'jestGlobalsForMutants';
globalThis[NAME] = GLOBALS;

const [SUCCESS, FAILED] = [0, 1];

/**
 * @returns the tests that ran: all if `isMeasured`, otherwise up to the first failure. `error` if the tests could not
 * be loaded or set up.
 */
async function run(file, { only, isMeasured = false }) {
  circus.resetState();
  const state = circus.getState();
  state.testTimeout = 20_000;
  const tests = [];
  let isOver = false;
  const onEvent = ({ name, test: each }) => {
    if (name === 'test_start') {
      const id = idOf(each);
      if (isOver || (only && !only.has(id))) each.mode = 'skip';
      else if (isMeasured) stryker.currentTestId = id;
    }
    if (name !== 'test_done' || each.mode === 'skip') return;
    stryker.currentTestId = undefined;
    const isFailed = each.errors.length > 0;
    isOver ||= isFailed && !isMeasured;
    const id = idOf(each);
    tests.push({
      id,
      name: id,
      timeSpentMs: each.duration ?? 0,
      status: isFailed ? FAILED : SUCCESS,
      failureMessage: isFailed ? messageOf(each.errors[0]) : undefined,
    });
  };
  circus.addEventHandler(onEvent);
  try {
    await import(`${pathToFileURL(file)}?${randomUUID()}`);
    await circus.run();
    const [error] = state.unhandledErrors;
    return { tests, error: error && messageOf(error) };
  } catch (error) {
    return { tests, error: messageOf(error) };
  } finally {
    circus.removeEventHandler(onEvent);
  }
}

function idOf({ name, parent }) {
  const names = [name];
  for (let block = parent; block?.parent; block = block.parent) names.unshift(block.name);
  return names.join(' ');
}

const messageOf = (error) =>
  String(Array.isArray(error) ? (error[0] ?? error[1]) : error).slice(0, 500);

export const strykerPlugins = [
  { kind: 'TestRunner', name: 'circus', injectableClass: CircusRunner },
];

/** Stryker warns of options that no plugin declares. */
export const strykerValidationSchema = { properties: { mutation: { type: 'object' } } };
