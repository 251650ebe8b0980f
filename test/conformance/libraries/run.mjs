// Checks small applications of well-known libraries in one go, and writes docs/conformance.md from the reports:
//   npm run build && node test/conformance/libraries/run.mjs
// The libraries are installed into node_modules/.cache, away from the project's own packages. Redis runs if Debian's
// redis-server is there; else its lane says that it was left out.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const HERE = import.meta.dirname;
const ROOT = resolve(HERE, '../../..');
const PROGRAM = join(ROOT, 'dist/src/conformance/main.js');
const OUT = join(ROOT, 'docs/conformance.md');

const BASE = {
  accounts: [
    { name: 'one', headers: { Authorization: 'Bearer test-account-one' } },
    { name: 'two', headers: { Authorization: 'Bearer test-account-two' } },
  ],
  create: {
    path: '/things',
    body: { amount: 12, name: '{{reference}}', note: 'a', tags: ['x', 'y'], more: { shop: 'n' } },
    changes: {
      value: { amount: 13 },
      text: { note: 'b' },
      added: { extra: true },
      removed: { note: null },
      nested: { more: { shop: 's' } },
      order: { tags: ['y', 'x'] },
    },
    invalid: { amount: -1 },
    declined: { card: 'declined' },
    slow: { card: 'slow' },
    breaksOff: { card: 'breaks' },
  },
  other: { path: '/others', body: { amount: 1 } },
  count: { path: '/things', items: '$.data', reference: '$.name' },
  timing: { recoverySeconds: 10, laterSeconds: 2, requestSeconds: 20 },
  limits: { requestsPerSecond: 200 },
};

/** What each library says about itself, in its documentation or in its types. */
const NODE_IDEMPOTENCY = {
  onMissingKey: 'refuse',
  keyMaxLength: 256,
  onConcurrent: '409',
  onMismatch: 422,
  sameBody: 'bytes',
  onOtherOperation: 'independent',
  storesValidationErrors: true,
  storesDeclines: true,
  storesServerErrors: true,
  replayHeader: { name: 'Idempotent-Replayed', value: 'true' },
};
const EXPRESS_IDEMPOTENCY = {
  onMissingKey: 'accept',
  onConcurrent: '409',
  onMismatch: 417,
  onOtherOperation: 'refuse',
  storesValidationErrors: false,
  storesDeclines: false,
};

const folder = install();
const redis = await startRedis();
const lanes = [
  ['node-idempotency.mjs', '@node-idempotency/nestjs', 'in memory', NODE_IDEMPOTENCY, {}],
  ...(redis
    ? [
        [
          'node-idempotency.mjs',
          '@node-idempotency/nestjs',
          `Redis ${redis.version}`,
          NODE_IDEMPOTENCY,
          { REDIS_URL: redis.url },
        ],
      ]
    : []),
  ['express-idempotency.mjs', 'express-idempotency', 'in memory', EXPRESS_IDEMPOTENCY, {}],
];
const reports = [];
for (const [file, name, storage, promises, env] of lanes)
  reports.push(await check(file, `${titleOf(name)}, ${storage}`, promises, env));
redis?.stop();
fs.writeFileSync(OUT, introduction() + compared(reports));

/** Installs the libraries, once for each content of package.json. */
function install() {
  const hash = createHash('sha256').update(fs.readFileSync(join(HERE, 'package.json')));
  const target = join(
    ROOT,
    'node_modules/.cache/conformance-libraries',
    hash.digest('hex').slice(0, 16),
  );
  fs.mkdirSync(target, { recursive: true });
  for (const name of fs.readdirSync(HERE)) fs.copyFileSync(join(HERE, name), join(target, name));
  if (!fs.existsSync(join(target, 'node_modules')))
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: target,
      stdio: 'inherit',
    });
  return target;
}

function versionOf(name) {
  return JSON.parse(fs.readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8'))
    .version;
}

function titleOf(name) {
  const core = name.startsWith('@node-idempotency/')
    ? ` (core ${versionOf('@node-idempotency/core')})`
    : '';
  return `${name} ${versionOf(name)}${core}`;
}

async function startRedis() {
  const found = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  if (found.error) {
    console.log('redis-server is not installed: its lane is left out');
    return undefined;
  }
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  await delay(500);
  const version = /v=([\d.]+)/.exec(found.stdout)?.[1];
  return { url: `redis://127.0.0.1:${port}`, version, stop: () => child.kill() };
}

async function check(file, name, promises, env) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const app = spawn(process.execPath, [join(folder, file)], {
    env: { ...process.env, ...env, PORT: String(port), NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let ended = false;
  app.once('exit', () => (ended = true));
  while (!ended && !(await fetch(`${url}/things`).catch(() => undefined))) await delay(100);
  const profile = join(folder, `profile-${port}.json`);
  const report = join(folder, `report-${port}.json`);
  fs.writeFileSync(profile, JSON.stringify({ name, ...BASE, promises }));
  const args = [PROGRAM, '--profile', profile, '--url', url, '--json', report];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  app.kill();
  if (status > 1) throw new Error(`the check of ${name} did not run: ${status}`);
  return report;
}

function compared(files) {
  return execFileSync(process.execPath, [PROGRAM, '--compare', ...files], { encoding: 'utf8' });
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return String(port);
}

function introduction() {
  return `# What the conformance check finds at libraries

Written by \`node test/conformance/libraries/run.mjs\`, which installs the libraries and runs all of it again. Each is
mounted with its defaults, as its documentation or its types show, in an application of twenty lines (\`test/conformance/libraries/\`) that checks the
credentials first and keeps its objects in memory. The profile of each says what the library promises of itself: the
status of a mismatch, 409 or waiting, whether errors are stored. So a broken promise is one of its own. A purchase that
"breaks off" is made, but its first answer is a 500.

A failure here is a fact about that version in that application, and the case can be run against yours. Two things that
these libraries leave to the application, and that are counted here because a reader of the documentation may miss them:
binding a key to an account, and doing the work and the record in one transaction. No application here dies: what a
crash leaves behind is not part of this check. [The check and its profiles](../src/conformance/README.md).

`;
}
