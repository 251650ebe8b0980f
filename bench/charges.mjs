// Measures what it costs to charge once. The same processor call, in the same sandbox, in several ways: the naive
// lane (call, then insert), POST /charges, its replay, fifty requests for each key; and two peers (bench/peers/): a
// library that stores keys in Redis, and one open transaction around the call. The lanes take turns, so that a change
// of the machine's load affects all of them; the ratios are the result. Then 500 slow charges in parallel on a pool
// of 10.
//
// Needs `npm run build`, and for the peers `npm ci --prefix bench/peers` and redis-server (Debian: apt install
// redis-server). Starts its own PostgreSQL with default durability, and Redis, on free ports. ROUNDS, ROUND_SECONDS
// and WARM_UP_SECONDS set the duration. `--against <checkout>` also measures another build of this project, in the
// same turns.

import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CHARGE, fire } from './load.mjs';
import { startPeers } from './peers/start.mjs';
import { HERE, cpuBetween, cpuMs, machineCpuMs, median, residentMb, startStack } from './stack.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const ROUND_SECONDS = Number(process.env.ROUND_SECONDS ?? 4);
const CONNECTIONS = 16;
/** A new process needs several thousand requests before its figures are representative. */
const WARM_UP_SECONDS = Number(process.env.WARM_UP_SECONDS ?? 10);
const WAITERS = 50;
const POOL = 10;
const SLOW = 500;
/** Enough to fill the pool three times. */
const SLOW_OPEN = 3 * POOL;
const IN_FLIGHT = 200;

const { values } = parseArgs({ options: { against: { type: 'string' } } });
const stack = await startStack();
try {
  process.exitCode = (await measure()) ? 0 : 1;
} finally {
  await stack.stop();
}

async function measure() {
  const sandbox = await stack.startSandbox();
  const startApi = (checkout) =>
    stack.start(join(checkout, 'dist/src/programs/api.js'), {
      env: {
        PROCESSOR_URL: sandbox.url,
        DATABASE_POOL_SIZE: String(POOL),
        LAB: '1', // the naive lane is part of the lab
        RATE_LIMIT_PER_SECOND: '1000000',
        RATE_LIMIT_BURST: '1000000',
      },
    });
  const api = await startApi(HERE);
  const peers = await startPeers(stack, sandbox);
  const against = values.against && (await startApi(resolve(values.against)));

  const lanes = [
    lane('naive charge', api, '/lab/naive/charges', randomUUID),
    lane('charge', api, '/charges', randomUUID),
    lane('replay', api, '/charges', () => 'replayed'),
    lane(`${WAITERS} for each key`, api, '/charges', sharedBy(WAITERS), WAITERS),
    ...(peers
      ? [
          lane('library with Redis', peers, '/keyed', randomUUID),
          lane('open transaction', peers, '/open', randomUUID),
          lane('replay, library', peers, '/keyed', () => 'replayed'),
        ]
      : []),
    ...(against
      ? [
          lane('charge, against', against, '/charges', randomUUID),
          lane('replay, against', against, '/charges', () => 'replayed'),
        ]
      : []),
  ];
  const load = [];
  for (const each of lanes) {
    await each.run({ connections: 1, amount: 1 }); // stores the answer that the replay lane replays
    await each.run({ duration: WARM_UP_SECONDS });
  }
  for (let round = 0; round < ROUNDS; round++) {
    const turn = round % 2 ? [...lanes].reverse() : lanes;
    for (const each of turn) each.rounds.push(await each.run({ duration: ROUND_SECONDS }));
    load.push(loadavg()[0]);
  }
  print(lanes);
  const crowd = await runSlow(api, '/charges', IN_FLIGHT);
  const slow = await runSlow(api, '/charges', SLOW);
  const open = peers && (await runSlow(peers, '/open', SLOW_OPEN));
  const others = median(lanes.flatMap(({ rounds }) => rounds.map((round) => round.othersCores)));

  const roundsOf = (name) => lanes.find((each) => each.name === name).rounds;
  const ratio = (a, b, figure = ({ rate }) => rate) =>
    median(roundsOf(a).map((round, i) => figure(round) / figure(roundsOf(b)[i])));
  const cpu = ({ apiMs, postgresMs }) => apiMs + postgresMs;
  const found = [
    ['charge to naive charge', ratio('charge', 'naive charge'), 0.8],
    ['CPU of API and PostgreSQL, likewise', ratio('charge', 'naive charge', cpu), 1.7, 'at most'],
    ['replay to charge', ratio('replay', 'charge'), 8],
    [`API, MB with ${IN_FLIGHT} in flight`, crowd.mostMb, 200, 'at most'],
    ...(peers
      ? [
          ['charge to library with Redis', ratio('charge', 'library with Redis'), 0.75],
          [
            `${SLOW} slow charges, pool of ${POOL}, to open tx`,
            SLOW / slow.seconds / (SLOW_OPEN / open.seconds),
            20,
          ],
        ]
      : [[`${SLOW} slow charges, pool of ${POOL}, s`, slow.seconds, 7, 'at most']]),
  ];
  console.log();
  let reached = true;
  for (const [what, value, aim, most] of found) {
    const ok = most ? value <= aim : value >= aim;
    reached &&= ok;
    console.log(
      `${what.padEnd(42)} ${value.toFixed(2).padStart(7)}   aim: ${most ?? 'at least'} ${aim}${ok ? '' : '   MISSED'}`,
    );
  }
  if (against) {
    console.log(
      `${'charge to charge, against'.padEnd(36)} ${ratio('charge', 'charge, against').toFixed(2).padStart(7)}`,
    );
    console.log(
      `${'replay to replay, against'.padEnd(36)} ${ratio('replay', 'replay, against').toFixed(2).padStart(7)}`,
    );
  }
  console.log(
    `\n${ROUNDS} rounds of ${ROUND_SECONDS} s; load average ${load.map((l) => l.toFixed(1)).join(' ')}; ` +
      `other programs used ${others.toFixed(2)} cores`,
  );
  return reached;

  function lane(name, { url, pid }, path, nextKey, connections = CONNECTIONS) {
    return {
      name,
      rounds: [],
      async run(limit) {
        const used = async () => ({
          api: await cpuMs(pid),
          sandbox: await cpuMs(sandbox.pid),
          postgres: await stack.postgresCpu(),
          machine: await machineCpuMs(),
        });
        const before = await used();
        const began = performance.now();
        const result = await fire(url + path, nextKey, CHARGE, { connections, ...limit });
        const elapsed = performance.now() - began;
        const after = await used();
        const answered = result['2xx'];
        const apiMs = after.api - before.api;
        const postgresMs = cpuBetween(before.postgres.ours, after.postgres.ours);
        const sandboxMs =
          after.sandbox -
          before.sandbox +
          cpuBetween(before.postgres.sandbox, after.postgres.sandbox);
        const ours = apiMs + postgresMs + sandboxMs + result.ownCpuMs;
        return {
          rate: (answered * 1000) / elapsed,
          p50: result.latency.p50,
          p99: result.latency.p99,
          apiMs: apiMs / answered,
          postgresMs: postgresMs / answered,
          sandboxMs: sandboxMs / answered,
          othersCores: (after.machine - before.machine - ours) / elapsed,
        };
      },
    };
  }
}

/**
 * Starts all charges together, 3 s each at the processor. Measures the time until all have ended, and the API's peak
 * memory.
 */
async function runSlow({ url, pid }, path, count) {
  let mostMb = 0;
  let watching = true;
  const watch = (async () => {
    while (watching) {
      mostMb = Math.max(mostMb, await residentMb(pid));
      await new Promise((done) => setTimeout(done, 50));
    }
  })();
  const began = performance.now();
  const body = { ...CHARGE, payment_method: 'pm_lab_slow' };
  const limit = { connections: count, amount: count, timeout: 120 };
  await fire(url + path, randomUUID, body, limit);
  const seconds = (performance.now() - began) / 1000;
  watching = false;
  await watch;
  return { seconds, mostMb };
}

/** Uses one key for `count` requests in a row. */
function sharedBy(count) {
  let sent = 0;
  const run = randomUUID();
  return () => `${run}-${Math.floor(sent++ / count)}`;
}

function print(lanes) {
  const heads = ['lane', '/s', 'p50 ms', 'p99 ms', 'CPU ms: API', 'PostgreSQL', 'sandbox'];
  console.log(`| ${heads.join(' | ')} |\n|---|${'---:|'.repeat(heads.length - 1)}`);
  for (const { name, rounds } of lanes) {
    const of = (figure, digits = 0) => median(rounds.map((r) => r[figure])).toFixed(digits);
    const cpu = ['apiMs', 'postgresMs', 'sandboxMs'].map((figure) => of(figure, 2));
    console.log(`| ${[name, of('rate'), of('p50'), of('p99'), ...cpu].join(' | ')} |`);
  }
}
