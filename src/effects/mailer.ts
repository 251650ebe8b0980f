import { randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { createTransport, type SendMailOptions } from 'nodemailer';
import { abortAfter } from '../http/abort-after.js';

export interface MailOptions {
  from: string;
  /** `smtp://user:password@host:port`. Without it, messages become files in `directory`. */
  smtpUrl?: string;
  directory: string;
}

export const MAIL_OPTIONS = Symbol('MAIL_OPTIONS');

/** One `messageId` is one message: a mail program shows it once, and `directory` has one file for it. */
export interface Mail {
  messageId: string;
  to: string;
  subject: string;
  text: string;
}

/** The limit for a whole message, in ms: longer than a healthy mail server needs, shorter than the message's lease. */
export const MAIL_TIMEOUT_MS = 20_000;
/** The limit for one step of the SMTP dialogue, in ms. */
const STEP_TIMEOUT_MS = 10_000;

@Injectable()
export class Mailer {
  constructor(@Inject(MAIL_OPTIONS) private readonly options: MailOptions) {}

  /**
   * @param stopping ends the SMTP dialogue early.
   * @throws Error if the message was not confirmed or not written. The mail server may still have accepted it.
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
    const partial = `${file}.${randomUUID()}`;
    await writeFile(partial, eml as Buffer);
    await rename(partial, file); // a crash leaves no partial message
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
  // A server that answers each step in time but never finishes would outlast the lease. The signal ends the connection,
  // so that an abandoned dialogue cannot deliver the message later.
  const tooLate = new Error(`the mail server took more than ${MAIL_TIMEOUT_MS} ms`);
  const { signal, release } = abortAfter(MAIL_TIMEOUT_MS, stopping, tooLate);
  try {
    await transport.sendMail({ ...message, signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    release();
    transport.close();
  }
}
