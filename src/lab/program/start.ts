import { once } from 'node:events';
import { ArmedFaults } from '../service/armed-faults.js';
import { Journal } from '../service/journal-writer.js';
import { JournalReader } from './journal-reader.js';
import { LabDatabase } from './lab-database.js';
import { ProcessorLedger } from './processor-ledger.js';
import { Runs } from './runs.js';
import { labServer } from './server.js';
import type { LabSettings } from './settings.js';

/** Listens until a signal arrives or the supervisor has ended. */
export async function startLab(settings: LabSettings): Promise<void> {
  const db = new LabDatabase(settings.databaseUrl);
  const journal = new Journal(settings.journal, 'lab');
  const armed = ArmedFaults.beside(settings.journal);
  const ledger = new ProcessorLedger(settings.processorUrl);
  const runs = new Runs({
    apiUrl: settings.apiUrl,
    db,
    ledger,
    journal,
    armed,
    folder: settings.runsFolder,
    frozenMs: 1.5 * settings.leaseMs,
  });
  runs.reader = new JournalReader(settings.journal, (line) => runs.take(line));
  const server = labServer(settings, runs).listen(settings.port, settings.host);
  await once(server, 'listening');
  // The lab may end immediately: it holds no customer's data, and stores each run when the run ends.
  const stop = () => {
    runs.sleepers.wakeAll();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
  process.once('disconnect', stop);
}
