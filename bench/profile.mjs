// Shows where the service's CPU time of a request goes, for each lane: the share of each package's own functions in a
// CPU profile, times the CPU time that Linux counts. The profile itself costs time: compare lanes, not with `npm run
// bench`. Lanes: naive, charge, replay, order, and, if it can run here, the library with Redis.
//
// Needs `npm run build`, and for the library what charges.mjs needs. ROUND_SECONDS and WARM_UP_SECONDS set the
// duration.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CHARGE, fire } from './load.mjs';
import { startPeers } from './peers/start.mjs';
import { HERE, cpuMs, startStack } from './stack.mjs';

const ROUND_SECONDS = Number(process.env.ROUND_SECONDS ?? 8);
const WARM_UP_SECONDS = Number(process.env.WARM_UP_SECONDS ?? 8);
const ORDER = { currency: 'eur', items: [{ sku: 'tea', quantity: 2, unit_amount: 1000 }] };
const nodeArgs = ['--import', pathToFileURL(join(HERE, 'bench/profiler.mjs')).href];
/** Rows of the table. A package that is not in this list counts as "the rest". */
const GROUPS = {
  Express: /node_modules\/(express|router|send|body-parser|raw-body|qs|finalhandler|accepts)\//,
  Nest: /node_modules\/(@nestjs|rxjs|reflect-metadata)\//,
  'pg, TypeORM': /node_modules\/(pg[\w-]*|typeorm|postgres-\w+)\//,
  'Stripe’s client': /node_modules\/stripe\//,
  'log (pino)': /node_modules\/(pino|sonic-boom|thread-stream|[\w-]*stringify)\/|\/src\/log\//,
  'checks (class-validator, jsonc-parser)': /node_modules\/(class-\w+|validator|jsonc-parser)\//,
  'helmet, prom-client': /node_modules\/(helmet|prom-client)\//,
  'library, Redis client': /node_modules\/(@node-idempotency|@redis|redis|ioredis|keyv)/,
  'own code': /(^|\/)(src|bench\/peers)\/(?!.*node_modules)/,
};
const SOCKETS = /^(writev|write\w*String|writeBuffer)$/;

const stack = await startStack();
try {
  const sandbox = await stack.startSandbox();
  const api = await stack.start(join(HERE, 'dist/src/programs/api.js'), {
    nodeArgs,
    env: {
      PROCESSOR_URL: sandbox.url,
      LAB: '1', // the naive lane is part of the lab
      RATE_LIMIT_PER_SECOND: '1000000',
      RATE_LIMIT_BURST: '1000000',
    },
  });
  const peers = await startPeers(stack, sandbox, { nodeArgs });
  const lanes = [
    ['naive', api, '/lab/naive/charges', randomUUID, CHARGE],
    ['charge', api, '/charges', randomUUID, CHARGE],
    ['replay', api, '/charges', () => 'replayed', CHARGE],
    ['order', api, '/orders', randomUUID, ORDER],
    ...(peers ? [['library', peers, '/keyed', randomUUID, CHARGE]] : []),
    ...(peers ? [['its replay', peers, '/keyed', () => 'replayed', CHARGE]] : []),
  ];
  const columns = new Map();
  for (const [name, { url, child }, path, nextKey, body] of lanes) {
    const run = (limit) => fire(url + path, nextKey, body, { connections: 16, ...limit });
    await run({ connections: 1, amount: 1 });
    await run({ duration: WARM_UP_SECONDS });
    await ask(child, 'Profiler.start');
    const before = await cpuMs(child.pid);
    const { '2xx': answered } = await run({ duration: ROUND_SECONDS });
    const each = ((await cpuMs(child.pid)) - before) / answered;
    columns.set(name, groups(await ask(child, 'Profiler.stop'), each));
  }
  print(columns);
} finally {
  await stack.stop();
}

async function ask(child, method) {
  child.send(method);
  return (await once(child, 'message'))[0];
}

/** @returns ms of each group; the sum is `total`. */
function groups({ nodes, samples, timeDeltas }, total) {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((c) => [c, id])));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const ms = new Map();
  let sum = 0;
  for (const [i, id] of samples.entries()) {
    const group = groupOf(id);
    if (group === undefined) continue;
    sum += timeDeltas[i];
    ms.set(group, (ms.get(group) ?? 0) + timeDeltas[i]);
  }
  for (const [group, us] of ms) ms.set(group, (us / sum) * total);
  return ms.set('sum', total);

  function groupOf(id) {
    const { functionName, url } = byId.get(id).callFrame;
    if (functionName === '(idle)') return undefined;
    if (functionName === '(garbage collector)') return 'garbage collection';
    if (url === '' && SOCKETS.test(functionName)) return 'writing to sockets';
    // Native functions without a source belong to their caller.
    for (let at = id; at !== undefined; at = parents.get(at)) {
      const source = sourceOf(byId.get(at).callFrame);
      if (source.startsWith('node:')) return 'Node’s streams, sockets, HTTP';
      if (source === '') continue;
      return Object.keys(GROUPS).find((name) => GROUPS[name].test(source)) ?? 'the rest';
    }
    return 'the rest';
  }
}

/** The source of a function; in a bundle, by its map. */
function sourceOf({ url, lineNumber, columnNumber }) {
  if (!url.startsWith('file:')) return url;
  const map = mapOf(fileURLToPath(url));
  return map?.findEntry(lineNumber, columnNumber).originalSource ?? url;
}

function mapOf(path, maps = (mapOf.maps ??= new Map())) {
  if (!maps.has(path)) {
    try {
      maps.set(path, new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8'))));
    } catch {
      maps.set(path, undefined); // not a bundle
    }
  }
  return maps.get(path);
}

function print(columns) {
  const names = new Set([...columns.values()].flatMap((column) => [...column.keys()]));
  names.delete('sum');
  const largest = (name) => Math.max(...[...columns.values()].map((c) => c.get(name) ?? 0));
  const sorted = [...names].sort((a, b) => largest(b) - largest(a));
  console.log(`| CPU ms of the service | ${[...columns.keys()].join(' | ')} |`);
  console.log(`|---|${'---:|'.repeat(columns.size)}`);
  for (const name of [...sorted, 'sum']) {
    const cells = [...columns.values()].map((c) => (c.get(name) ?? 0).toFixed(2));
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
}
