import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTransport, type SendMailOptions } from 'nodemailer';

export interface MailOptions {
  from: string;
  /** `smtp://user:password@host:port`. Without it, messages are files in `directory`, for people to look at. */
  smtpUrl?: string;
  directory: string;
}

/** A message. The same `messageId` is the same message: a mail program shows it once, the folder keeps it once. */
export interface Mail {
  messageId: string;
  to: string;
  subject: string;
  text: string;
}

/** Longer than any honest mail server; shorter than the lease of the message. In ms. */
const TIMEOUT_MS = 10_000;

export class Mailer {
  constructor(private readonly options: MailOptions) {}

  /** @throws Error if the mail server did not take it; it may have, if the connection broke. */
  async send(mail: Mail): Promise<void> {
    const { smtpUrl, from, directory } = this.options;
    const message: SendMailOptions = { ...mail, from };
    if (smtpUrl !== undefined) {
      const transport = createTransport({
        url: smtpUrl,
        connectionTimeout: TIMEOUT_MS,
        greetingTimeout: TIMEOUT_MS,
        socketTimeout: TIMEOUT_MS,
      });
      try {
        await transport.sendMail(message);
      } finally {
        transport.close();
      }
      return;
    }
    const { message: eml } = await createTransport({
      streamTransport: true,
      buffer: true,
    }).sendMail(message);
    await mkdir(directory, { recursive: true });
    const file = join(directory, `${mail.messageId.replaceAll(/[<>]/g, '')}.eml`);
    await writeFile(`${file}.${process.pid}`, eml as Buffer);
    await rename(`${file}.${process.pid}`, file); // a crash leaves no half message
  }
}
