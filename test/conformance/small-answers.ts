/** An answer of the small server, as it is stored for a replay. */
export interface StoredAnswer {
  status: number;
  text: string;
  type: string;
}

/** The object in a request's body; undefined if there is none. */
export function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export function isValid({ amount }: Record<string, unknown>): boolean {
  return typeof amount === 'number' && amount > 0;
}

/** Equal values give the same text, whatever the order of their members. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join()}}`;
}

export function json(status: number, body: object): StoredAnswer {
  return { status, text: JSON.stringify(body), type: 'application/json' };
}

export function problem(status: number, detail: string): StoredAnswer {
  return { ...json(status, { status, detail }), type: 'application/problem+json' };
}

export function stack(): string {
  return new Error('not JSON').stack ?? '';
}
