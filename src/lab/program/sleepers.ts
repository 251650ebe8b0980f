import type { JournalLine } from '../journal.js';
import type { Journal } from '../service/journal-writer.js';

interface Sleeper {
  pid: number;
  account?: string;
}

/** Our processes that are frozen. A process that has stopped itself cannot resume by itself. */
export class Sleepers {
  private readonly timers = new Map<number, { sleeper: Sleeper; timer: NodeJS.Timeout }>();

  constructor(
    private readonly journal: Journal,
    /** How long each of them stays frozen. */
    private readonly napMs: number,
  ) {}

  /** Takes each line of the journal from its beginning: after a restart it finds processes that are still frozen. */
  take(line: JournalLine): void {
    if (line.kind !== 'process') return;
    const { pid, account, is, at } = line;
    if (is === 'frozen') {
      const sleeper = { pid, ...(account !== undefined && { account }) };
      const leftMs = Math.max(0, at + this.napMs - Date.now());
      this.timers.set(pid, { sleeper, timer: setTimeout(() => this.wake(sleeper), leftMs) });
    }
    if (is === 'resumed' || is === 'ended') this.forget(pid);
  }

  /** Call it before this program ends, because a process that stays frozen keeps its port. */
  wakeAll(): void {
    for (const { sleeper } of this.timers.values()) this.wake(sleeper);
  }

  private wake({ pid, account }: Sleeper): void {
    this.forget(pid);
    const about = account === undefined ? {} : { account };
    this.journal.write({ kind: 'process', program: 'api', is: 'resumed', pid }, about);
    try {
      process.kill(pid, 'SIGCONT');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has died meanwhile
    }
  }

  private forget(pid: number): void {
    clearTimeout(this.timers.get(pid)?.timer);
    this.timers.delete(pid);
  }
}
