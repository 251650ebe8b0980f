import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative, resolve } from 'node:path';
import { transpiler } from '../../../build/compile.mjs';

/**
 * Jest loads modules again for each test file. Each of a hundred files would load the application and its packages:
 * 10 s of CPU for tests that take 2 s. This transform replaces application and packages with what Node's own loader
 * returns, so that a Jest worker loads them once. Jest compiles test files and test/support/ itself, in the same way
 * as the application. The application is the build that global-setup.mjs made for this run.
 */
const ROOT = resolve(import.meta.dirname, '../../..');
const require = createRequire(import.meta.url);

const OWN_TEXT = ['build/compile.mjs', 'test/support/native/transform.mjs', 'tsconfig.json']
  .map((file) => readFileSync(resolve(ROOT, file)))
  .join('\0');

export default {
  getCacheKey: (source, path, { supportsStaticESM }) =>
    createHash('sha256')
      .update(
        [OWN_TEXT, inJestWorker(), nativePath(path), path, supportsStaticESM, source].join('\0'),
      )
      .digest('hex'),

  process(source, path, { supportsStaticESM }) {
    if (isTest(path)) return { code: compile(source, path) };
    if (!inJestWorker()) return { code: source };
    const native = nativePath(path);
    const load = `globalThis.requireNatively(${JSON.stringify(native)})`;
    if (!supportsStaticESM) return { code: `module.exports = ${load};` };
    const names = Object.keys(require(native));
    const named = names.filter((name) => name !== 'default' && name !== 'module.exports');
    return {
      code: `const native = ${load};
        export const { ${named.join(', ')} } = native;
        ${names.includes('default') ? 'export default native.default;' : ''}`,
    };
  },
};

const isTest = (path) => /^test\/.*\.ts$/.test(relative(ROOT, path));

let transpile;
function compile(source, path) {
  transpile ??= transpiler(ROOT);
  return transpile(relative(ROOT, path), source, ROOT);
}

/** The global setup and Jest's own loading also pass here; they are native already. */
function inJestWorker() {
  return process.env.JEST_WORKER_ID !== undefined;
}

/** What Node loads for a path: our compiled sources, or a package. */
function nativePath(path) {
  if (!/^(src|migrations)\//.test(relative(ROOT, path))) return path;
  return resolve(process.env.CHARGE_ONCE_TEST_BUILD, 'modules', relative(ROOT, path)).replace(
    /\.ts$/,
    '.js',
  );
}
