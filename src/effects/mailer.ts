import { randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { createTransport, type SendMailOptions } from 'nodemailer';
import { endAfter } from '../http/end-after.js';

export interface MailOptions {
  from: string;
  /** `smtp://user:password@host:port`. Without it, messages are files in `directory`, for people to look at. */
  smtpUrl?: string;
  directory: string;
}

export const MAIL_OPTIONS = Symbol('MAIL_OPTIONS');

/** A message. The same `messageId` is the same message: a mail program shows it once, the folder keeps it once. */
export interface Mail {
  messageId: string;
  to: string;
  subject: string;
  text: string;
}

/** For the whole of a message, in ms: longer than an honest mail server needs, shorter than the message's lease. */
export const MAIL_TIMEOUT_MS = 20_000;
/** For one step of the dialogue, in ms. */
const STEP_TIMEOUT_MS = 10_000;

@Injectable()
export class Mailer {
  constructor(@Inject(MAIL_OPTIONS) private readonly options: MailOptions) {}

  /**
   * @param stopping ends the dialogue early.
   * @throws Error if the mail server did not take it; it may have, if the end came after the message's last line.
   */
  async send(mail: Mail, stopping: AbortSignal): Promise<void> {
    const { smtpUrl } = this.options;
    const message = { ...mail, from: this.options.from };
    if (smtpUrl === undefined) await this.write(message);
    else await sendBySmtp(smtpUrl, message, stopping);
  }

  private async write(message: SendMailOptions & Mail): Promise<void> {
    const { directory } = this.options;
    const { message: eml } = await createTransport({
      streamTransport: true,
      buffer: true,
    }).sendMail(message);
    await mkdir(directory, { recursive: true });
    const file = join(directory, `${message.messageId.replaceAll(/[<>]/g, '')}.eml`);
    const half = `${file}.${randomUUID()}`;
    await writeFile(half, eml as Buffer);
    await rename(half, file); // a crash leaves no half message
  }
}

async function sendBySmtp(
  url: string,
  message: SendMailOptions,
  stopping: AbortSignal,
): Promise<void> {
  const transport = createTransport({
    url,
    connectionTimeout: STEP_TIMEOUT_MS, // greeting and TLS included
    socketTimeout: STEP_TIMEOUT_MS,
  });
  // A server that answers each step in time and needs for ever all the same would outlast the lease. The signal ends the
  // connection: a dialogue that nobody waits for any more could still hand the message over.
  const tooLate = new Error(`the mail server took more than ${MAIL_TIMEOUT_MS} ms`);
  const { signal, release } = endAfter(MAIL_TIMEOUT_MS, stopping, tooLate);
  try {
    await transport.sendMail({ ...message, signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    release();
    transport.close();
  }
}
