// What does it cost to charge once? The same processor call, in the same sandbox, by two routes of one API process:
// the naive lane (call, then insert) and POST /charges; beside them replays, fifty requests for each key, and slow
// charges. In turns, so that a change of the machine's mood meets all of them; the ratios are the result.
//
// Needs `npm run build`. Brings its own PostgreSQL with default durability on a free port.
// ROUNDS, ROUND_SECONDS: how long. `--against <checkout>`: charges by another build of this project, in the same turns.

import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CHARGE, fire } from './load.mjs';
import { HERE, cpuBetween, cpuMs, machineCpuMs, median, residentMb, startStack } from './stack.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const ROUND_SECONDS = Number(process.env.ROUND_SECONDS ?? 4);
const CONNECTIONS = 16;
const WAITERS = 50;
const POOL = 10;
const SLOW = 100;
const IN_FLIGHT = 200;
const AIMS = { idempotentToNaive: 0.8, replayToCharge: 3, residentMb: 200, slowSeconds: 6 };

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
    stack.start(join(checkout, 'dist/src/main.js'), {
      env: {
        PROCESSOR_URL: sandbox.url,
        DATABASE_POOL_SIZE: String(POOL),
        LAB: '1', // the naive lane lives there
        RATE_LIMIT_PER_SECOND: '1000000',
        RATE_LIMIT_BURST: '1000000',
      },
    });
  const api = await startApi(HERE);
  const against = values.against && (await startApi(resolve(values.against)));

  const lanes = [
    lane('naive charge', api, '/lab/naive/charges', randomUUID),
    lane('charge', api, '/charges', randomUUID),
    lane('replay', api, '/charges', () => 'replayed'),
    lane(`${WAITERS} for each key`, api, '/charges', sharedBy(WAITERS), WAITERS),
    ...(against
      ? [
          lane('charge, against', against, '/charges', randomUUID),
          lane('replay, against', against, '/charges', () => 'replayed'),
        ]
      : []),
  ];
  const load = [];
  for (const each of lanes) await each.run({ duration: 3 }); // warm-up
  for (let round = 0; round < ROUNDS; round++) {
    const turn = round % 2 ? [...lanes].reverse() : lanes;
    for (const each of turn) each.rounds.push(await each.run({ duration: ROUND_SECONDS }));
    load.push(loadavg()[0]);
  }
  print(lanes);
  const slow = await runSlow(api, SLOW);
  const crowd = await runSlow(api, IN_FLIGHT);
  const others = median(lanes.flatMap(({ rounds }) => rounds.map((round) => round.othersCores)));

  const rates = (nr) => lanes[nr].rounds.map(({ rate }) => rate);
  const ratio = (a, b) => median(rates(a).map((rate, i) => rate / rates(b)[i]));
  const found = [
    ['charge to naive charge', ratio(1, 0), AIMS.idempotentToNaive],
    ['replay to charge', ratio(2, 1), AIMS.replayToCharge],
    [`API, MB with ${IN_FLIGHT} in flight`, crowd.mostMb, AIMS.residentMb, 'at most'],
    [`${SLOW} slow charges, pool of ${POOL}, s`, slow.seconds, AIMS.slowSeconds, 'at most'],
  ];
  console.log();
  let reached = true;
  for (const [what, value, aim, most] of found) {
    const ok = most ? value <= aim : value >= aim;
    reached &&= ok;
    console.log(
      `${what.padEnd(36)} ${value.toFixed(2).padStart(7)}   aim: ${most ?? 'at least'} ${aim}${ok ? '' : '   MISSED'}`,
    );
  }
  if (against) {
    console.log(`${'charge to charge, against'.padEnd(36)} ${ratio(1, 4).toFixed(2).padStart(7)}`);
    console.log(`${'replay to replay, against'.padEnd(36)} ${ratio(2, 5).toFixed(2).padStart(7)}`);
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

/** All at once, 3 s each at the processor: how long until all have ended, and how large the API becomes. */
async function runSlow({ url, pid }, count) {
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
  const limit = { connections: count, amount: count, timeout: 60 };
  await fire(`${url}/charges`, randomUUID, body, limit);
  const seconds = (performance.now() - began) / 1000;
  watching = false;
  await watch;
  return { seconds, mostMb };
}

/** One key for that many requests in a row. */
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
