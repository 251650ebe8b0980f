import type { Processor } from './processor.js';

/** Called when a call to the processor ends. Iterators over pages are not observed. */
export abstract class ProcessorObserver {
  /**
   * @param call the method of `Processor`.
   * @param answer the kind of the answer; `none` for a lookup that found nothing, `failed` for an exception.
   */
  abstract ended(call: string, answer: string, seconds: number): void;
}

/** Wraps a processor and times each of its calls. */
export function observed(processor: Processor, observer: ProcessorObserver): Processor {
  return new Proxy(processor, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      return (...args: unknown[]) => {
        const began = performance.now();
        const result: unknown = Reflect.apply(member, target, args);
        if (!(result instanceof Promise)) return result; // no call, or an iterator over pages
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
