// The background process with its code loaded in advance, which is most of a start. It starts when it receives a port.
// Runs from the build, because a child process has no Jest transforms.
import { once } from 'node:events';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/src`;
await import(`${src}/worker.module.js`);

const message = once(process, 'message');
process.send('loaded');
const [port] = await message;
process.env.WORKER_PORT = String(port);
await import(`${src}/programs/worker.js`);
