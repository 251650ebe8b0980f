import { once } from 'node:events';
import { startMailServer, type ReceivedMail } from '../../src/proof/world/mail-server.js';
import { until } from './until.js';

/** A message that the server has accepted. It counts as delivered, whatever its sender knows. */
export type CaughtMail = ReceivedMail;

/** An SMTP server that keeps every message. */
export interface MailCatcher {
  /** For SMTP_URL. */
  url: string;
  mails: CaughtMail[];
  /** From now on messages are accepted, but the confirmation waits. The returned function sends it. */
  hold(): () => void;
  /** From now on the greeting waits. The returned function greets all that have waited. */
  mute(): () => void;
  /** From now on refuses messages to this recipient; undefined refuses none. */
  refuse(recipient: string | undefined): void;
  /** Resolves when `count` messages to this recipient were accepted. */
  caught(to: string, count?: number): Promise<void>;
  /** How many senders are connected. */
  senders(): number;
  /** The messages to one recipient. */
  of(to: string): CaughtMail[];
  stop(): Promise<void>;
}

export async function startMailCatcher(): Promise<MailCatcher> {
  const mails: CaughtMail[] = [];
  let open = Promise.resolve();
  let greeting = Promise.resolve();
  let refused: string | undefined;
  const { server, port, senders } = await startMailServer((mail) => mails.push(mail), {
    beforeGreeting: () => greeting,
    beforeConfirming: () => open,
    refuses: (recipient) => recipient === refused,
  });
  const of = (recipient: string) => mails.filter(({ to }) => to === recipient);

  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    of,
    hold() {
      let release = () => {};
      open = new Promise((resolve) => (release = resolve));
      return release;
    },
    mute() {
      let release = () => {};
      greeting = new Promise((resolve) => (release = resolve));
      return release;
    },
    refuse(recipient) {
      refused = recipient;
    },
    senders: () => senders.size,
    caught: (recipient, count = 1) => until(async () => of(recipient).length >= count),
    async stop() {
      senders.forEach((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}
