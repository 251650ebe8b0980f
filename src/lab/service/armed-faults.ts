import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAB_ACCOUNT } from '../journal.js';

/**
 * Faults that the lab prepares for an account. The next request or job that names no fault itself takes one. Each is a
 * file, because API and worker are separate processes, and the fault may kill them.
 */
export class ArmedFaults {
  constructor(private readonly folder: string) {}

  static beside(journalFile: string): ArmedFaults {
    return new ArmedFaults(`${journalFile}.armed`);
  }

  /** @param where `api`, or a step of the worker: `mail`. */
  arm(account: string, where: string, fault: string): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.file(account, where), fault);
  }

  /** The fault, for one caller only: the process that removes the file gets it. */
  take(account: string, where: string): string | undefined {
    const file = this.file(account, where);
    try {
      const fault = readFileSync(file, 'utf8');
      rmSync(file);
      return fault;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return undefined; // none, or another process was faster
    }
  }

  private file(account: string, where: string): string {
    if (!LAB_ACCOUNT.test(account)) throw new Error(`${account} is no account of the lab`);
    return join(this.folder, `${account}.${where}`);
  }
}
