import { setTimeout as delay } from 'node:timers/promises';
import type { Mailer } from '../../effects/mailer.js';
import { JOB_POOLS, type JobRegistry } from '../../jobs/jobs.js';
import { LAB_ACCOUNT } from '../journal.js';
import type { Recorder } from './lab-options.js';
import { runContext } from './run-context.js';

/** Records each job of a run when it begins and ends. Call it before the runner reads the registry. */
export function recordJobs(jobs: JobRegistry, { journal }: Recorder): void {
  for (const registered of JOB_POOLS.flatMap((pool) => jobs.of(pool))) {
    const { name, handler } = registered;
    registered.handler = async (payload, ...rest) => {
      const account = String(payload.account);
      if (!LAB_ACCOUNT.test(account)) return handler(payload, ...rest);
      await runContext.run({ account }, async () => {
        journal.write({ kind: 'job', name, state: 'begins' }, { account });
        try {
          await handler(payload, ...rest);
        } catch (error) {
          journal.write({ kind: 'job', name, state: 'fails' }, { account });
          throw error;
        }
        journal.write({ kind: 'job', name, state: 'ends' }, { account });
      });
    };
  }
}

/** Records each e-mail of a run, and kills this process before or after it if the lab has asked for that. */
export function recordMails(mailer: Mailer, { journal, armed }: Recorder): void {
  const send = mailer.send.bind(mailer);
  mailer.send = async (mail, stopping) => {
    const account = runContext.getStore()?.account;
    if (account === undefined) return send(mail, stopping);
    const fault = armed.take(account, 'mail');
    const die = (point: string) => {
      journal.write({ kind: 'process', program: 'worker', is: 'killed', point }, { account });
      process.kill(process.pid, 'SIGKILL');
    };
    if (fault === 'crash-before-mail') die('before-mail');
    if (fault === 'delay-mail') await delay(3_000);
    await send(mail, stopping);
    journal.write({ kind: 'mail', to: mail.to, subject: mail.subject }, { account });
    if (fault === 'crash-after-mail') die('after-mail');
  };
}
