import type { LoggerService } from '@nestjs/common';
import pino from 'pino';
import { redactError, framesOf } from './redacted-error.js';
import { currentTrace } from './trace.js';

export interface LogOptions {
  /** `api` or `worker`: the program that wrote the line. */
  program: string;
  level: pino.LevelWithSilent;
}

/**
 * Nest's logger as one JSON object per line (pino). Two layers keep secrets out: an error is logged without its
 * message (`redactError`), and every text is searched for the shape of a secret. Values without a shape (idempotency
 * keys, descriptions, metadata) never arrive here, because no header, body or URL is logged.
 */
export class JsonLogger implements LoggerService {
  private readonly pino: pino.Logger;

  constructor(
    { program, level }: LogOptions,
    stream: pino.DestinationStream = pino.destination(1),
  ) {
    this.pino = pino(
      {
        level,
        base: { program, pid: process.pid },
        timestamp: pino.stdTimeFunctions.isoTime,
        mixin: () => {
          const trace = currentTrace();
          return trace ? { trace_id: trace.traceId } : {};
        },
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    );
  }

  log(message: unknown, ...more: unknown[]): void {
    this.write(isNestItself(more) ? 'debug' : 'info', message, more);
  }
  error(message: unknown, ...more: unknown[]): void {
    this.write('error', message, more);
  }
  warn(message: unknown, ...more: unknown[]): void {
    this.write('warn', message, more);
  }
  debug(message: unknown, ...more: unknown[]): void {
    this.write('debug', message, more);
  }
  verbose(message: unknown, ...more: unknown[]): void {
    this.write('trace', message, more);
  }
  fatal(message: unknown, ...more: unknown[]): void {
    this.write('fatal', message, more);
  }

  /** Nest passes (message, …, context); `error` may also pass a stack before the context. */
  private write(level: pino.Level, message: unknown, more: unknown[]): void {
    const context = typeof more.at(-1) === 'string' ? { context: scrub(String(more.at(-1))) } : {};
    const fault = [message, ...more].find((part) => part instanceof Error);
    const stack = more.slice(0, -1).find((part) => typeof part === 'string');
    this.pino[level]({
      ...context,
      ...fieldsOf(message),
      ...(fault === undefined ? {} : { fault: redactError(fault) }),
      ...(typeof stack === 'string' ? { at: framesOf(stack) } : {}),
    });
  }
}

/** Only a string or an object with named fields is logged. */
function fieldsOf(message: unknown): object {
  if (typeof message === 'string') return { msg: scrub(message) };
  if (message instanceof Error || typeof message !== 'object' || message === null) return {};
  return JSON.parse(scrub(JSON.stringify(message))) as object;
}

// `Logger`s of the framework. Their start-up lines help only when a start fails.
const FRAMEWORK = new Set([
  'NestFactory',
  'NestApplication',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
]);

function isNestItself(more: unknown[]): boolean {
  return FRAMEWORK.has(String(more.at(-1)));
}

/** Secret keys, signing secrets, bearer tokens, passwords in URLs, e-mail addresses, tokens of customers. */
const SHAPES =
  /\b(?:[srp]k_(?:test|live)|whsec|pm|tok)_[\w+/=-]+|\bcard_(?=\w*\d)\w{8,}|\bBearer +[^\s"\\]+|(?<=:\/\/[^\s/:@"]*:)[^\s/@"]+(?=@)|[\w.+-]+@[\w-]+(?:\.[\w-]+)+/gi;

function scrub(text: string): string {
  return text.replaceAll(SHAPES, '[redacted]');
}
