import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../dist/modules/src/local/ports.js';
import { HERE, endWithUs } from '../stack.mjs';

/** @returns undefined, after it has printed the reason, if the peers cannot run. */
export async function startPeers(stack, sandbox, options = {}) {
  const redis = hasRedis() && (await startRedis());
  if (!redis || !existsSync(join(HERE, 'bench/peers/node_modules'))) {
    console.log(
      'skipped: the peers. They need redis-server (Debian: apt install redis-server) and ' +
        '`npm ci --prefix bench/peers`.\n',
    );
    return undefined;
  }
  return stack.start(join(HERE, 'bench/peers/app.mjs'), {
    env: { PROCESSOR_URL: sandbox.url, REDIS_URL: redis },
    path: '/ready',
    ...options,
  });
}

function hasRedis() {
  try {
    return Boolean(execFileSync('redis-server', ['--version']));
  } catch {
    return false;
  }
}

/** In memory only, which favours the peer. Ends with this process. */
async function startRedis() {
  const port = await freePort('127.0.0.1');
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const child = spawn('redis-server', settings, { stdio: 'ignore' });
  child.unref();
  endWithUs(child);
  return `redis://127.0.0.1:${port}`;
}
