import { dirname, join } from 'node:path';

/** What the lab's program needs to know. */
export interface LabSettings {
  host: string;
  port: number;
  /** The host of LAB_URL, to which the API redirects. Its requests are accepted, too. Empty if there is no LAB_URL. */
  publicHost: string;
  databaseUrl: string;
  apiUrl: string;
  /** The sandbox: its ledger judges the runs. */
  processorUrl: string;
  journal: string;
  /** Where runs are kept. */
  runsFolder: string;
  /** How long a request holds an idempotency record. */
  leaseMs: number;
}

/** Takes them from the settings of all programs. */
export function labSettings(config: {
  host: string;
  port: number;
  labPort: number;
  labUrl?: string;
  databaseUrl: string;
  labJournal?: string;
  processor: { baseUrl?: URL };
  idempotency: { leaseMs: number };
}): LabSettings {
  const { host, port, labPort, labUrl, databaseUrl, processor } = config;
  const journal = config.labJournal ?? join('.data', 'lab', `journal-${process.pid}.ndjson`);
  return {
    host,
    port: labPort,
    publicHost: labUrl === undefined ? '' : new URL(labUrl).hostname,
    databaseUrl,
    apiUrl: `http://${reachable(host)}:${port}`,
    processorUrl: (processor.baseUrl ?? new URL('http://127.0.0.1:4242')).origin,
    journal,
    leaseMs: config.idempotency.leaseMs,
    runsFolder: join(dirname(journal), 'runs'),
  };
}

/** The address at which clients reach a program that listens on `host`. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
