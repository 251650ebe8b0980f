import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Delivery, Line, Mail } from './history.js';

/** Writes what happens into the folder, one line each, and keeps it in memory for the checker. */
export class Recorder {
  readonly history: Line[] = [];
  readonly mails: Mail[] = [];
  readonly received: Delivery[] = [];
  private n = 0;
  private readonly files: WriteStream[] = [];

  constructor(folder: string) {
    for (const name of ['history', 'mails', 'received'])
      this.files.push(createWriteStream(join(folder, `${name}.jsonl`)));
  }

  get requests(): number {
    return this.n;
  }

  nextNumber(): number {
    return ++this.n;
  }

  line(line: Line): void {
    this.history.push(line);
    this.files[0]!.write(`${JSON.stringify(line)}\n`);
  }

  mail(mail: Mail): void {
    this.mails.push(mail);
    this.files[1]!.write(`${JSON.stringify(mail)}\n`);
  }

  delivery(delivery: Delivery): void {
    this.received.push(delivery);
    this.files[2]!.write(`${JSON.stringify(delivery)}\n`);
  }

  async close(): Promise<void> {
    await Promise.all(this.files.map((file) => new Promise((done) => file.end(done))));
  }
}
