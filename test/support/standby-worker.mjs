// The background process with its code loaded in advance, which is most of a start: it listens as soon as it is told a
// port. From the build: a child process knows nothing of Jest's transforms.
import { once } from 'node:events';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/src`;
await import(`${src}/worker.module.js`);

const told = once(process, 'message');
process.send('loaded');
const [port] = await told;
process.env.WORKER_PORT = String(port);
await import(`${src}/programs/worker.js`);
