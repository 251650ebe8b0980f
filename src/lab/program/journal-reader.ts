import { closeSync, openSync, readSync, watch, type FSWatcher } from 'node:fs';
import type { JournalLine } from '../journal.js';

/** For systems that do not report changes of a file. A longer pause delays each event by as much. */
const POLL_MS = 50;

/** Follows the journal. Lines come in the order of the file, each once. */
export class JournalReader {
  private readonly descriptor: number;
  private readonly watcher: FSWatcher;
  private readonly timer: NodeJS.Timeout;
  private readonly buffer = Buffer.alloc(256 * 1024);
  private offset = 0;
  private rest = Buffer.alloc(0);

  constructor(
    file: string,
    private readonly onLine: (line: JournalLine) => void,
  ) {
    this.descriptor = openSync(file, 'a+');
    this.watcher = watch(file, () => this.read());
    this.timer = setInterval(() => this.read(), POLL_MS);
    this.timer.unref();
  }

  /** Reads what was appended after the last call. */
  read(): void {
    for (;;) {
      const size = readSync(this.descriptor, this.buffer, 0, this.buffer.length, this.offset);
      if (size === 0) return;
      this.offset += size;
      let chunk = Buffer.concat([this.rest, this.buffer.subarray(0, size)]);
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a)) {
        this.take(chunk.subarray(0, end).toString());
        chunk = chunk.subarray(end + 1);
      }
      this.rest = Buffer.from(chunk);
    }
  }

  private take(text: string): void {
    try {
      this.onLine(JSON.parse(text) as JournalLine);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error; // a writer was killed during its write
    }
  }

  close(): void {
    clearInterval(this.timer);
    this.watcher.close();
    closeSync(this.descriptor);
  }
}
