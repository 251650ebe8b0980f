import type { LocalSettings } from './settings.js';

/** What `npm start` prints when it is ready for charges. */
export function banner(settings: LocalSettings, databaseUrl: string, seconds: number): string {
  const { api, worker, sandbox, lab } = settings.urls;
  const rows: [string, string][] = [
    ...(lab
      ? [
          ['lab', `${lab}/   <- start here: watch a customer pay twice, then once`] as [
            string,
            string,
          ],
        ]
      : []),
    ['API', api],
    ['docs', `${api}/docs`],
    ...(settings.lab ? [['ledger', `${api}/lab/ledger.txt`] as [string, string]] : []),
    ['worker', `${worker}/health/ready`],
    ['processor', sandbox ? `${sandbox}/ledger (sandbox)` : processorName(settings)],
    // The embedded server's password is needed to connect and is useless elsewhere. The password of the user's own
    // server stays out of the terminal.
    ['database', settings.databaseUrl === undefined ? databaseUrl : withoutPassword(databaseUrl)],
  ];
  const lines = [`\nReady after ${seconds.toFixed(1)} s.\n`];
  for (const [name, value] of rows) lines.push(`  ${name.padEnd(11)}${value}`);
  if (settings.demoAccounts) {
    lines.push(
      `  ${'API keys'.padEnd(11)}sk_test_acme, sk_test_globex`,
      '\nMake a charge. Run it again, and you still pay once:\n',
      curl(api),
    );
  } else {
    lines.push('\nNo demo accounts here; `npm run account -- create "Name"` prints an API key.');
  }
  return `${lines.join('\n')}\n`;
}

function curl(api: string): string {
  return `  curl -i ${api}/charges \\
    -H 'Authorization: Bearer sk_test_acme' \\
    -H 'Idempotency-Key: order-1001-payment' \\
    -H 'Content-Type: application/json' \\
    -d '{"amount":1999,"currency":"usd","payment_method":"pm_card_visa"}'`;
}

function processorName({ env }: LocalSettings): string {
  return env.STRIPE_SECRET_KEY ? 'Stripe' : withoutPassword(env.PROCESSOR_URL ?? '');
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password) url.password = '***';
  return url.href;
}
