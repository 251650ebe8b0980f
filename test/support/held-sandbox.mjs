// The sandbox process whose slow payments end when its parent sends a message, by no clock: a test decides what happens
// while one runs. Their leases, and the patience of a stop, outlast any test.
// From dist: a child process knows nothing of Jest's transforms.
import { once } from 'node:events';
import { readSandboxConfig } from '../../dist/src/sandbox/config.js';
import { startSandbox } from '../../dist/src/sandbox/sandbox.server.js';
import { stopInGoodOrder } from '../../dist/src/sandbox/stop.js';

const told = once(process, 'message'); // heard also by a payment that begins to wait only after it
const sandbox = await startSandbox({
  ...readSandboxConfig(),
  slowMs: 3_600_000,
  sleep: () => told,
});
stopInGoodOrder(sandbox, (error) => {
  throw error;
});
