import { rm } from 'node:fs/promises';

export default async function globalTeardown() {
  const { server, home } = globalThis.chargeOnceTestCluster;
  await server.stop();
  await rm(home, { recursive: true, force: true });
}
