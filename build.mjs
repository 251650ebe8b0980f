// Builds src/ and migrations/ into a folder of their own, .build/<hash of what goes in>, and points `dist` at it.
//
// Node resolves the link `dist` once, when a program starts. So a rebuild takes nothing away from a program that runs:
// `npm start` starts a killed API again from the very build that it was started from. A finished folder never changes,
// and sources that were built before are not built again. Proof: test/build.spec.ts.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';

const ROOT = import.meta.dirname;
const BUILDS = join(ROOT, '.build');
const SOURCES = ['src', 'migrations'];
const SETTINGS = ['build.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/** Shorter, and a program that is just starting could lose its modules; longer only takes disk space (2 MB a build). */
const KEEP_UNUSED_MS = 3_600_000;

if (process.argv[1] && fs.realpathSync(process.argv[1]) === import.meta.filename) {
  try {
    pointDistAt(build());
    removeUnused();
  } catch (error) {
    if (error.status === undefined) throw error;
    process.exit(error.status); // the compiler has printed the reason
  }
}

/** @returns the folder in which the present sources are built; it is kept for as long as this process lives. */
export function build() {
  for (;;) {
    const id = hashOfInputs();
    const folder = join(BUILDS, id);
    if (keep(folder)) return folder;
    const draft = join(BUILDS, draftName());
    try {
      compile(draft);
      // What was edited meanwhile may be in it or not: then it has no name.
      if (hashOfInputs() === id) publish(draft, folder);
    } finally {
      fs.rmSync(draft, { recursive: true, force: true });
    }
  }
}

function hashOfInputs() {
  const files = SOURCES.flatMap((folder) =>
    fs
      .readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  );
  const hash = createHash('sha256');
  for (const file of [...files, ...SETTINGS].sort()) {
    const text = fs.readFileSync(join(ROOT, file));
    hash.update(`${file}\0${text.length}\0`).update(text);
  }
  return hash.digest('hex').slice(0, 16);
}

function compile(folder) {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const args = [compiler, '-p', 'tsconfig.build.json', '--outDir', folder];
  execFileSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  fs.mkdirSync(join(folder, 'in-use'));
}

/** Whole or not at all: a build that is killed leaves a draft, which no program is started from. */
function publish(draft, folder) {
  try {
    fs.renameSync(draft, folder);
  } catch (error) {
    if (!fs.existsSync(folder)) throw error; // else another process has built the same
  }
}

/** Whether the folder is there; if so, its pid in it keeps it. */
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
  // A folder is what an earlier version, or another tool, has built.
  if (found?.isDirectory()) fs.renameSync(dist, join(BUILDS, draftName()));
  const link = join(BUILDS, draftName());
  fs.symlinkSync(relative(ROOT, folder), link);
  fs.renameSync(link, dist); // at once: there is no moment without `dist`
}

function removeUnused() {
  for (const name of fs.readdirSync(BUILDS)) {
    const folder = join(BUILDS, name);
    const isDraft = name.startsWith('draft-');
    if (isDraft ? isAlive(name.split('-')[1]) : isInUse(folder)) continue;
    const age = Date.now() - (fs.lstatSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age < KEEP_UNUSED_MS) continue;
    // First out of its name: killed half-way, this leaves no half of a build.
    const draft = isDraft ? folder : join(BUILDS, draftName());
    if (!isDraft) fs.renameSync(folder, draft);
    fs.rmSync(draft, { recursive: true, force: true });
  }
}

/** Forgets the dead, whose numbers may be given to others. */
function isInUse(folder) {
  const users = join(folder, 'in-use');
  const dead = fs.readdirSync(users).filter((pid) => !isAlive(pid));
  for (const pid of dead) fs.rmSync(join(users, pid), { force: true });
  return fs.readdirSync(users).length > 0;
}

function draftName() {
  return `draft-${process.pid}-${randomBytes(4).toString('hex')}`;
}

function isAlive(pid) {
  try {
    return process.kill(Number(pid), 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}
