import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { MAX_TEXT, type JournalLine, type LineBody, type Writer } from '../journal.js';

/** The account and attempt that a line is about. The rest is the same in all lines of a process. */
export interface About {
  account?: string;
  attempt?: number;
}

/**
 * Appends to the journal. The write returns before the recorded step continues, so a SIGKILL in the next instruction
 * loses nothing. Several processes append to one file; the kernel keeps their lines apart (O_APPEND).
 */
export class Journal {
  private readonly descriptor: number;

  constructor(
    file: string,
    private readonly writer: Writer,
  ) {
    mkdirSync(dirname(file), { recursive: true });
    this.descriptor = openSync(file, 'a', 0o600);
  }

  write(body: LineBody, about: About = {}): void {
    const line = {
      at: performance.timeOrigin + performance.now(),
      pid: process.pid,
      writer: this.writer,
      ...about,
      ...body,
    } satisfies JournalLine;
    writeSync(this.descriptor, `${JSON.stringify(line)}\n`);
  }
}

/** Credentials, anywhere in a text. */
const SECRETS = /\b(whsec_|[sr]k_(?:test|live)_)[\w+/=-]+/g;

/** Shortens a text and masks its credentials. */
export function cut(whole: string): string {
  const text = whole.replaceAll(SECRETS, '$1***');
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text;
}

/** Header lines as received, with credentials masked. */
export function maskedHead(rawHeaders: readonly string[]): string {
  let head = '';
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const isSecret = /^(authorization|cookie|stripe-signature|webhook-signature)$/i.test(name);
    head += `${name}: ${isSecret ? '***' : rawHeaders[i + 1]}\r\n`;
  }
  return head;
}
