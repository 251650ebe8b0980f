// The sandbox process whose slow payments end when its parent sends a message, by no clock: a test decides what happens
// while one runs. Their leases, and the patience of a stop, outlast any test.
// From the build: a child process knows nothing of Jest's transforms.
import { once } from 'node:events';

const sandboxFolder = `${process.env.CHARGE_ONCE_TEST_BUILD}/modules/src/sandbox`;
const { readSandboxConfig } = await import(`${sandboxFolder}/config.js`);
const { startSandbox } = await import(`${sandboxFolder}/sandbox.server.js`);
const { stopCleanly } = await import(`${sandboxFolder}/stop.js`);

const told = once(process, 'message'); // heard also by a payment that begins to wait only after it
const sandbox = await startSandbox({
  ...readSandboxConfig(),
  slowMs: 3_600_000,
  sleep: () => told,
});
stopCleanly(sandbox, (error) => {
  throw error;
});
