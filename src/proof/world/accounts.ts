import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Account {
  id: string;
  apiKey: string;
}

/** For programs that need nothing else from our environment. */
export const PATH = '/usr/local/bin:/usr/bin:/bin';

const NAMES = ['Proof 1', 'Proof 2'];

/** Creates the tables and the accounts, with the commands that operators use. */
export async function createAccounts(programs: string, databaseUrl: string): Promise<Account[]> {
  const run = async (name: string, ...args: string[]) =>
    promisify(execFile)(process.execPath, [join(programs, `${name}.js`), ...args], {
      env: { PATH, DATABASE_URL: databaseUrl },
    });
  await run('migrate');
  const accounts: Account[] = [];
  for (const name of NAMES) {
    const { stdout } = await run('account', 'create', name);
    const id = /acct_\w+/.exec(stdout)?.[0] ?? '';
    accounts.push({ id, apiKey: /API key\s+(\S+)/.exec(stdout)?.[1] ?? '' });
  }
  return accounts;
}
