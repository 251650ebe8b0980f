// Builds src/ and migrations/ into .build/<hash of the sources>, and points the link `dist` at it.
//
// Node resolves `dist` once, when a program starts, so a rebuild does not affect a running program. `npm start`
// restarts a killed API from the same build that it was started from. A finished folder never changes, and the same
// sources are not built twice. Proof: test/build.spec.ts.
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { compile, SyntaxErrors } from './compile.mjs';

const ROOT = dirname(import.meta.dirname);
const BUILDS = join(ROOT, '.build');
const CACHE = join(BUILDS, 'cache');
const SOURCES = ['src', 'migrations'];
const SETTINGS = [
  'build/build.mjs',
  'build/compile.mjs',
  'build/page.mjs',
  'tsconfig.json',
  'package-lock.json',
];

/**
 * Shorter than this, a program that is starting could lose its modules. Longer only costs disk space (20 MB a build).
 */
const KEEP_UNUSED_MS = 3_600_000;

/** Compiling a module again costs 10 ms. */
const KEEP_CACHED_MS = 30 * 24 * 3_600_000;

if (process.argv[1] && fs.realpathSync(process.argv[1]) === import.meta.filename) await buildDist();

/** For programs: prints a syntax error and exits with code 2. */
export async function buildDist() {
  try {
    pointDistAt(await build());
    removeUnused();
  } catch (error) {
    if (!(error instanceof SyntaxErrors)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

/** @returns the folder with the build of the current sources; it is kept while this process lives. */
export async function build() {
  for (;;) {
    const sources = sourceFiles();
    const id = hashOf(sources);
    const folder = join(BUILDS, id);
    if (keep(folder)) return folder;
    const draft = join(BUILDS, draftName());
    try {
      await compile(ROOT, sources, draft, CACHE);
      fs.mkdirSync(join(draft, 'in-use'));
      // If sources changed meanwhile, the draft may mix versions: discard it and build again.
      if (hashOf(sourceFiles()) === id) publish(draft, folder);
    } finally {
      fs.rmSync(draft, { recursive: true, force: true });
    }
  }
}

function sourceFiles() {
  return SOURCES.flatMap((folder) =>
    fs
      .readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => /(?<!\.d)\.tsx?$|\.(sql|css|html)$/.test(name))
      .map((name) => join(folder, name)),
  );
}

function hashOf(sources) {
  const hash = createHash('sha256');
  for (const file of [...sources, ...SETTINGS].sort()) {
    const text = fs.readFileSync(join(ROOT, file));
    hash.update(`${file}\0${text.length}\0`).update(text);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Publishes a build atomically. A build that is killed leaves a draft, which no program uses. */
function publish(draft, folder) {
  try {
    fs.renameSync(draft, folder);
  } catch (error) {
    if (!fs.existsSync(folder)) throw error; // otherwise another process has published the same build
  }
}

/** Marks the folder as used by this process. @returns false if it does not exist. */
function keep(folder) {
  try {
    fs.writeFileSync(join(folder, 'in-use', String(process.pid)), '');
    fs.utimesSync(folder, new Date(), new Date());
    return true;
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return false;
  }
}

function pointDistAt(folder) {
  const dist = join(ROOT, 'dist');
  const found = fs.lstatSync(dist, { throwIfNoEntry: false });
  // A real folder comes from an earlier version or another tool.
  if (found?.isDirectory()) fs.renameSync(dist, join(BUILDS, draftName()));
  const link = join(BUILDS, draftName());
  fs.symlinkSync(relative(ROOT, folder), link);
  fs.renameSync(link, dist); // atomic, so that `dist` always exists
}

function removeUnused() {
  for (const name of namesIn(CACHE)) {
    const file = join(CACHE, name);
    if (ageOf(file) > KEEP_CACHED_MS) fs.rmSync(file, { force: true });
  }
  for (const name of namesIn(BUILDS)) {
    const folder = join(BUILDS, name);
    const isDraft = /^draft-\d+-/.test(name);
    if (!isDraft && !/^[0-9a-f]{16}$/.test(name)) continue; // not ours
    if (isDraft ? isAlive(name.split('-')[1]) : isInUse(folder)) continue;
    if (ageOf(folder) < KEEP_UNUSED_MS) continue;
    // Rename first, so that a kill during removal leaves no incomplete build.
    const draft = isDraft ? folder : join(BUILDS, draftName());
    if (!isDraft) fs.renameSync(folder, draft);
    fs.rmSync(draft, { recursive: true, force: true });
  }
}

function namesIn(folder) {
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}

function ageOf(path) {
  return Date.now() - (fs.lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
}

/** Removes the marks of dead processes, because their pids can be reused. */
function isInUse(folder) {
  const users = join(folder, 'in-use');
  const dead = namesIn(users).filter((pid) => !isAlive(pid));
  for (const pid of dead) fs.rmSync(join(users, pid), { force: true });
  return namesIn(users).length > 0;
}

function draftName() {
  return `draft-${process.pid}-${randomBytes(4).toString('hex')}`;
}

export function isAlive(pid) {
  try {
    return process.kill(Number(pid), 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}
