import { appendFileSync, chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAlive } from './processes.js';

/** Appends starts and ends of our programs to the lab's journal, because a killed process cannot report its own end. */
export class ProcessLives {
  /** @param journal absent: there is no lab. */
  constructor(private readonly journal: string | undefined) {
    if (journal === undefined) return;
    mkdirSync(dirname(journal), { recursive: true });
    chmodSync(dirname(journal), 0o700); // not its parents: PostgreSQL's user must be able to enter them
    void removeThoseOfTheDead(dirname(journal));
  }

  record(program: string, pid: number, is: 'started' | 'ready' | 'ended', how?: string): void {
    if (this.journal === undefined) return;
    const at = performance.timeOrigin + performance.now();
    const head = { at, pid, writer: 'local', kind: 'process' };
    const line = { ...head, program, is, ...(how !== undefined && { point: how }) };
    appendFileSync(this.journal, `${JSON.stringify(line)}\n`, { mode: 0o600 });
  }

  remove(): void {
    if (this.journal === undefined) return;
    rmSync(this.journal, { force: true });
    rmSync(`${this.journal}.armed`, { recursive: true, force: true });
  }
}

/** Removes the journals of each `npm start` that was killed. */
async function removeThoseOfTheDead(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const pid = /^journal-(\d+)\./.exec(name)?.[1];
    if (pid !== undefined && Number(pid) !== process.pid && !(await isAlive(Number(pid))))
      rmSync(join(folder, name), { recursive: true, force: true });
  }
}
