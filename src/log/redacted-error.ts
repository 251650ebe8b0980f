/**
 * An error as a log may show it: its class and where it was thrown, never its message. A message may quote customer
 * data (PostgreSQL's `detail` holds key values, JSON.parse quotes its input), and no list of patterns finds all of
 * it. Allow-list, not deny-list. Proof: test/operation/secrets.spec.ts.
 */
export interface RedactedError {
  error: string;
  /** SQLSTATE, an errno, or a code of Node. */
  code?: string;
  /** Names in the schema, reported by PostgreSQL. */
  constraint?: string;
  table?: string;
  at?: string[];
  cause?: RedactedError;
}

/** Deep enough for request, driver and network. The limit also ends a cause that is its own cause. */
const MAX_CAUSES = 4;
const MAX_FRAMES = 12;
const IDENTIFIER = /^\w{1,63}$/;

export function redactError(error: unknown, depth = 0): RedactedError {
  if (!(error instanceof Error)) return { error: typeof error };
  const facts = error as Error & Partial<Record<'code' | 'constraint' | 'table', unknown>>;
  // TypeORM's error also holds the query and its parameters, which must not be logged: use the driver's error alone.
  const cause = (error as { driverError?: unknown }).driverError ?? error.cause ?? firstOf(error);
  const fault: RedactedError = { error: identifier(error.constructor.name) ?? 'Error' };
  for (const name of ['code', 'constraint', 'table'] as const) {
    const value = identifier(facts[name]);
    if (value !== undefined) fault[name] = value;
  }
  const at = framesOf(error.stack, error.message);
  if (at.length > 0) fault.at = at;
  if (cause !== undefined && cause !== error && depth < MAX_CAUSES) {
    fault.cause = redactError(cause, depth + 1);
  }
  return fault;
}

/** The class of an error and its code, for a sentence in a log. */
export function nameOf(error: unknown): string {
  const { error: name, code, cause } = redactError(error);
  return [name, code ?? cause?.code].filter(Boolean).join(' ');
}

/** The stack frames; the message before them is removed, whatever it contains. */
export function framesOf(stack: string | undefined, message = ''): string[] {
  if (stack === undefined) return [];
  const end = message === '' ? 0 : stack.indexOf(message) + message.length;
  return stack
    .slice(Math.max(end, 0))
    .split('\n')
    .filter((line) => /^\s+at (?:[\w.<>[\] $#*]+ \()?[\w./:@+-]+:\d+:\d+\)?$/.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => line.trim().slice('at '.length));
}

function firstOf(error: Error): unknown {
  return error instanceof AggregateError ? error.errors[0] : undefined;
}

function identifier(value: unknown): string | undefined {
  return typeof value === 'string' && IDENTIFIER.test(value) ? value : undefined;
}
