// The expected shape of JSON from others. A reader copies only the members that it knows, so nothing else gets in.

/** The JSON does not have the expected shape. The message is safe to show to the user. */
export class MalformedJson extends Error {}

/** @param at where the value is: `events[3].kind` */
export type Reader<T> = (value: unknown, at: string) => T;

export const text =
  (most: number): Reader<string> =>
  (value, at) =>
    typeof value === 'string' && value.length <= most
      ? value
      : refuse(at, `is not a text of at most ${most} characters`);

export const number =
  (min: number, max: number): Reader<number> =>
  (value, at) =>
    typeof value === 'number' && value >= min && value <= max
      ? value
      : refuse(at, `is not a number from ${min} to ${max}`);

export const integer =
  (min: number, max: number): Reader<number> =>
  (value, at) =>
    Number.isInteger(value)
      ? number(min, max)(value, at)
      : refuse(at, `is not an integer from ${min} to ${max}`);

export const boolean: Reader<boolean> = (value, at) =>
  typeof value === 'boolean' ? value : refuse(at, 'is not true or false');

export const oneOf =
  <T extends string>(...choices: readonly T[]): Reader<T> =>
  (value, at) =>
    choices.includes(value as T) ? (value as T) : refuse(at, `is not one of ${choices.join(', ')}`);

export const listOf =
  <T>(item: Reader<T>, most: number): Reader<T[]> =>
  (value, at) =>
    Array.isArray(value) && value.length <= most
      ? value.map((each, i) => item(each, `${at}[${i}]`))
      : refuse(at, `is not a list of at most ${most}`);

/** Any names, with values of one kind. */
export const mapOf =
  <T>(item: Reader<T>, most: number): Reader<Record<string, T>> =>
  (value, at) => {
    const entries = Object.entries(membersOf(value, at));
    if (entries.length > most) refuse(at, `has more than ${most} members`);
    return Object.fromEntries(
      entries.map(([name, each]) => [
        text(100)(name, at),
        item(each, `${at}.${name.slice(0, 100)}`),
      ]),
    );
  };

export const optional =
  <T>(item: Reader<T>): Reader<T | undefined> =>
  (value, at) =>
    value === undefined ? undefined : item(value, at);

export const either =
  <A, B>(one: Reader<A>, other: Reader<B>): Reader<A | B> =>
  (value, at) => {
    try {
      return one(value, at);
    } catch {
      return other(value, at);
    }
  };

export const object =
  <T>(members: { [Name in keyof T]-?: Reader<T[Name]> }): Reader<T> =>
  (value, at) => {
    const given = membersOf(value, at) as Record<string, unknown>;
    const readers = Object.entries<Reader<unknown>>(members);
    const read = readers
      .map(([name, reader]) => [name, reader(given[name], at ? `${at}.${name}` : name)] as const)
      .filter(([, each]) => each !== undefined);
    return Object.fromEntries(read) as T;
  };

function membersOf(value: unknown, at: string): object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? value
    : refuse(at, 'is not an object');
}

function refuse(at: string, why: string): never {
  throw new MalformedJson(`${at || 'it'} ${why}`);
}
