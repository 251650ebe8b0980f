import { DESIGNS } from './gallery.js';
import { Hosts } from './hosts.js';

/** Connections of each design: enough for twenty parallel requests. */
const POOL_SIZE = 5;

/**
 * Serves every design on one port, with its own processor and database, for the user's own client: curl, or `npm run
 * conformance -- --profile src/conformance/profiles/lab-design.json`.
 * @param databaseUrl a server; the role must be allowed to create databases.
 * @param port 0: any free port.
 */
export async function serveDesigns(databaseUrl: string, port: number): Promise<Hosts> {
  return Hosts.start(databaseUrl, { steady: { poolSize: POOL_SIZE, port } });
}

/** The URL of each design, for a terminal. */
export function addressesOf(hosts: Hosts): string {
  const url = `http://127.0.0.1:${hosts.portOf('steady')}/designs`;
  const lines = DESIGNS.map(({ id, title }) => `${`${url}/${id}`.padEnd(64)}${title}`);
  return [...lines, '', `POST …/charges with 'Authorization: Bearer first' or 'second'`].join('\n');
}
