// A sandbox process whose slow payments end when its parent sends a message, not by a clock: a test decides what
// happens while one runs. Leases and the stop's deadline are longer than any test. Runs from the build, because a child
// process has no Jest transforms.
import { once } from 'node:events';

const sandboxFolder = `${process.env.CHARGE_ONCE_TEST_BUILD}/modules/src/sandbox`;
const { readSandboxConfig } = await import(`${sandboxFolder}/config.js`);
const { startSandbox } = await import(`${sandboxFolder}/sandbox.server.js`);
const { stopCleanly } = await import(`${sandboxFolder}/stop.js`);

const message = once(process, 'message'); // also ends a payment that starts to wait later
const sandbox = await startSandbox({
  ...readSandboxConfig(),
  slowMs: 3_600_000,
  sleep: () => message,
});
stopCleanly(sandbox, (error) => {
  throw error;
});
