import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { mergePatch } from './body.js';
import type { CreateOperation, Profile } from './profile.js';
import { PROFILE_SCHEMA } from './profile.schema.js';
import { conform, type Fault } from './schema.js';

/** The profile cannot be used; the message has one line for each reason. */
export class ProfileError extends Error {
  override readonly name = 'ProfileError';
}

/** @throws ProfileError */
export async function readProfile(
  file: string,
  env: Record<string, string | undefined>,
): Promise<Profile> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new ProfileError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ProfileError(`${file} is not JSON: ${(error as Error).message}`);
  }
  const { profile, faults } = profileOf(parsed, env);
  if (faults.length > 0)
    throw new ProfileError(faults.map((each) => `${each.pointer} ${each.message}`).join('\n'));
  return profile;
}

/** Fills in environment variables and defaults. `profile` is valid only if there are no faults. */
export function profileOf(
  parsed: unknown,
  env: Record<string, string | undefined>,
): { profile: Profile; faults: Fault[] } {
  const missing: Fault[] = [];
  const filled = withEnvironment(parsed, env, '', missing);
  const { value, faults } = conform(PROFILE_SCHEMA, filled);
  const profile = value as Profile;
  const all = [...missing, ...faults];
  return { profile, faults: all.length > 0 ? all : contradictions(profile) };
}

/** `${NAME}` or `${NAME:-default}` in a text: credentials do not belong in a file that is committed. */
function withEnvironment(
  value: unknown,
  env: Record<string, string | undefined>,
  pointer: string,
  faults: Fault[],
): unknown {
  if (typeof value === 'string')
    return value.replace(
      /\$\{(\w+)(?::-([^}]*))?\}/g,
      (_, name: string, fallback: string | undefined) => {
        const found = env[name] ?? fallback;
        if (found === undefined)
          faults.push({ pointer, message: `needs the environment variable ${name}` });
        return found ?? '';
      },
    );
  if (Array.isArray(value))
    return value.map((item, i) => withEnvironment(item, env, `${pointer}/${i}`, faults));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      withEnvironment(member, env, `${pointer}/${name}`, faults),
    ]),
  );
}

/** Contradictions that a schema cannot express. */
function contradictions({ create, count, accounts, headers }: Profile): Fault[] {
  const faults: Fault[] = [];
  const byItems = count.items !== undefined && count.reference !== undefined;
  if (byItems === (count.number !== undefined))
    faults.push({ pointer: '/count', message: 'needs items and reference, or number alone' });
  if (byItems && !JSON.stringify(create.body).includes('{{reference}}'))
    faults.push({
      pointer: '/create/body',
      message: 'has no {{reference}}, by which its objects are found again',
    });
  const [first, second] = accounts.map((account) => JSON.stringify(account.headers));
  if (first === second)
    faults.push({ pointer: '/accounts/1', message: 'has the same headers as the first' });
  const values = [headers, ...accounts.map((account) => account.headers)].flatMap(Object.values);
  if (values.some((value) => /[\r\n]/.test(value as string)))
    faults.push({ pointer: '/headers', message: 'or those of an account hold a line break' });
  return [...faults, ...uselessPatches(create)];
}

/** A patch that changes nothing would make a correct API fail. */
function uselessPatches({ body, changes, invalid, declined, breaksOff, slow }: CreateOperation) {
  const patches = {
    ...Object.fromEntries(
      Object.entries(changes).map(([name, patch]) => [`changes/${name}`, patch] as const),
    ),
    ...{ invalid, declined, breaksOff, slow },
  };
  return Object.entries(patches)
    .filter(([, patch]) => patch && isDeepStrictEqual(mergePatch(body, patch), body))
    .map(([name]) => ({ pointer: `/create/${name}`, message: 'changes nothing in the body' }));
}
