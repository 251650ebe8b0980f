import { CommandError, requireSchema } from '../database/command.js';
import type { Database, Queryable, Tx } from '../database/database.js';
import { addApiKey, createAccount, hashApiKey } from './new-account.js';

export const USAGE = `Usage: npm run account -- <command>

  create "Name"               a new account; prints its first API key
  add-key <account>           another key for an account, to rotate keys without downtime
  revoke <key>                every process refuses it within one second; \`-\` reads it from standard input
  revoke <account> <hint>     the same for a lost key; \`list\` shows the hints
  list                        accounts and their keys

A key is shown once: only its hash is stored. Idempotency keys belong to the account, not to the API key:
a request that began with an old API key can be retried with a new one.`;

/** How many characters of a key's hash identify it. Enough for the keys of one account, and useless to an attacker. */
const HINT_LENGTH = 8;
const HINT = `left(encode(key_hash, 'hex'), ${HINT_LENGTH})`;

/**
 * @param readStdin for `revoke -`, so that the key stays out of the shell's history.
 * @returns the lines to print.
 */
export async function runAccountCommand(
  db: Database,
  [command, ...args]: string[],
  readStdin: () => Promise<string>,
): Promise<string[]> {
  await requireSchema(db, 'api_keys');
  switch (`${command} ${args.length}`) {
    case 'create 1':
      return db.transaction((tx) => create(tx, args[0]!.trim()));
    case 'add-key 1':
      return db.transaction((tx) => addKey(tx, args[0]!));
    case 'revoke 1':
      return revoke(db, args[0] === '-' ? (await readStdin()).trim() : args[0]!);
    case 'revoke 2':
      return revokeByHint(db, args[0]!, args[1]!);
    case 'list 0':
      return list(db);
    default:
      throw new CommandError(`Unknown command.\n\n${USAGE}`, true);
  }
}

async function create(tx: Tx, name: string): Promise<string[]> {
  if (name.length < 1 || name.length > 255 || /\p{C}/u.test(name))
    throw new CommandError(
      'The name must have 1 to 255 characters, without control characters.',
      true,
    );
  const accountId = await createAccount(tx, name);
  return [`Account  ${accountId}  ${name}`, ...shown(await addApiKey(tx, accountId))];
}

async function addKey(tx: Tx, accountId: string): Promise<string[]> {
  await requireAccount(tx, accountId);
  return shown(await addApiKey(tx, accountId));
}

/** The only output that contains the key. */
function shown(apiKey: string): string[] {
  const hint = hashApiKey(apiKey).toString('hex').slice(0, HINT_LENGTH);
  return [`API key  ${apiKey}`, `Hint     ${hint}`, 'Keep the key now: it is not shown again.'];
}

async function revoke(db: Database, apiKey: string): Promise<string[]> {
  return revoked(
    await db.query(
      `UPDATE api_keys SET revoked_at = COALESCE(revoked_at, now()) WHERE key_hash = $1
       RETURNING account_id, ${HINT} AS hint`,
      [hashApiKey(apiKey)],
    ),
    'No account has this key.',
  );
}

async function revokeByHint(db: Database, accountId: string, hint: string): Promise<string[]> {
  await requireAccount(db, accountId);
  if (!/^[0-9a-f]{8}$/.test(hint))
    throw new CommandError('A hint is 8 hexadecimal digits, as `list` shows them.', true);
  return revoked(
    await db.query(
      `UPDATE api_keys SET revoked_at = COALESCE(revoked_at, now())
       WHERE account_id = $1 AND ${HINT} = $2
       RETURNING account_id, ${HINT} AS hint`,
      [accountId, hint],
    ),
    `${accountId} has no key with the hint ${hint}.`,
  );
}

function revoked(rows: { account_id: string; hint: string }[], otherwise: string): string[] {
  if (rows.length === 0) throw new CommandError(otherwise);
  return rows.map(({ account_id, hint }) => `Revoked  ${hint} of ${account_id}`);
}

async function list(db: Database): Promise<string[]> {
  const rows = await db.query<{
    id: string;
    name: string;
    hint: string | null;
    since: string;
    until: string;
  }>(
    `SELECT a.id, a.name, ${HINT} AS hint, to_char(k.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS since,
       to_char(k.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS until
     FROM accounts a LEFT JOIN api_keys k ON k.account_id = a.id
     ORDER BY a.created_at, a.id, k.created_at`,
  );
  if (rows.length === 0) return ['No accounts yet.'];
  const lines: string[] = [];
  let account = '';
  for (const { id, name, hint, since, until } of rows) {
    if (id !== account) lines.push(`${(account = id)}  ${name}`);
    if (hint === null) lines.push('  no key');
    else lines.push(`  ${hint}  since ${since}${until ? `, revoked ${until}` : ''}`);
  }
  return lines;
}

async function requireAccount(db: Queryable, accountId: string): Promise<void> {
  const known = await db.query('SELECT 1 FROM accounts WHERE id = $1', [accountId]);
  if (known.length === 0)
    throw new CommandError(`There is no account ${accountId}; \`list\` shows them.`);
}
