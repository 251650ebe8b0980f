/**
 * An error as a log may show it: what it is and where it was thrown, never its message. A message may quote what a
 * customer sent (PostgreSQL's `detail` holds the key values, JSON.parse the text that it stumbled on), and no list
 * of patterns finds that. Who keeps only what is known to be harmless does not have to remember anything.
 * Proof: test/operation/secrets.spec.ts.
 */
export interface Fault {
  /** The class. */
  error: string;
  /** SQLSTATE, an errno, or a code of Node's. */
  code?: string;
  /** Of PostgreSQL: names out of the schema. */
  constraint?: string;
  table?: string;
  /** The frames of the stack. */
  at?: string[];
  cause?: Fault;
}

/** Deep enough for request, driver and network; a cause that is its own cause ends. */
const MAX_CAUSES = 4;
const MAX_FRAMES = 12;
const IDENTIFIER = /^\w{1,63}$/;

export function faultOf(error: unknown, depth = 0): Fault {
  if (!(error instanceof Error)) return { error: typeof error };
  const facts = error as Error & Partial<Record<'code' | 'constraint' | 'table', unknown>>;
  // TypeORM keeps the driver's error beside the query and its parameters.
  const cause = (error as { driverError?: unknown }).driverError ?? error.cause ?? firstOf(error);
  const fault: Fault = { error: identifier(error.constructor.name) ?? 'Error' };
  for (const name of ['code', 'constraint', 'table'] as const) {
    const value = identifier(facts[name]);
    if (value !== undefined) fault[name] = value;
  }
  const at = framesOf(error.stack, error.message);
  if (at.length > 0) fault.at = at;
  if (cause !== undefined && cause !== error && depth < MAX_CAUSES) {
    fault.cause = faultOf(cause, depth + 1);
  }
  return fault;
}

/** An error in a word or two, for a sentence in a log. */
export function nameOf(error: unknown): string {
  const { error: name, code, cause } = faultOf(error);
  return [name, code ?? cause?.code].filter(Boolean).join(' ');
}

/** The lines of a stack that are frames; the message before them is cut off, whatever it looks like. */
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
