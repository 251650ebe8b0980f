import type { Processor } from './processor.js';

/** Told of each call to the processor when it has ended. */
export abstract class ProcessorObserver {
  /**
   * @param call the method of `Processor`.
   * @param answer the kind of the answer; `none` for a lookup without a find, `failed` for an exception.
   */
  abstract ended(call: string, answer: string, seconds: number): void;
}

/** The same processor; each of its calls outside is timed. */
export function observed(processor: Processor, observer: ProcessorObserver): Processor {
  return new Proxy(processor, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      return (...args: unknown[]) => {
        const began = performance.now();
        const result: unknown = Reflect.apply(member, target, args);
        if (!(result instanceof Promise)) return result; // nothing goes out, or page by page
        const end = (answer: string) =>
          observer.ended(name, answer, (performance.now() - began) / 1000);
        result.then(
          (value) => end(kindOf(value)),
          () => end('failed'),
        );
        return result;
      };
    },
  });
}

function kindOf(answer: unknown): string {
  if (answer === undefined) return 'none';
  const { kind } = answer as { kind?: unknown };
  return typeof kind === 'string' ? kind : 'found';
}
