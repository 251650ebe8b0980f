import { ArmedFaults } from './armed-faults.js';
import { Journal } from './journal-writer.js';

/** The settings of the lab in API and worker. */
export interface LabOptions {
  /** Where the page is. */
  url?: string;
  /** The port of the page, if its URL is not known. */
  port: number;
  /** The journal of runs. Absent: faults work, nothing is recorded. */
  journal?: string;
}

/** Made from the settings, without an import of `config.ts`. */
export function labOptions(config: {
  labUrl?: string;
  labPort: number;
  labJournal?: string;
}): LabOptions {
  const { labUrl, labPort, labJournal } = config;
  return {
    port: labPort,
    ...(labUrl && { url: labUrl }),
    ...(labJournal && { journal: labJournal }),
  };
}

export interface Recorder {
  journal: Journal;
  armed: ArmedFaults;
}

let recorder: Recorder | undefined;

/** The one journal of this process; undefined where none is kept. */
export function theRecorder(): Recorder | undefined {
  return recorder;
}

export function openRecorder(file: string, writer: 'api' | 'worker'): void {
  recorder ??= { journal: new Journal(file, writer), armed: ArmedFaults.beside(file) };
}
