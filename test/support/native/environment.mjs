import { createRequire } from 'node:module';
import { TestEnvironment } from 'jest-environment-node';

/** Jest's environment for a test file, plus access to Node's own module loader for transform.mjs. */
export default class NativeEnvironment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    // In the constructor, because the setup files run before `setup`.
    this.global.requireNatively = createRequire(import.meta.url);
    this.global.Reflect = Reflect; // test files' decorators store metadata there, and Nest reads it
    // Shared constructors: an Error thrown by a test is an Error in the application; its Dates are Dates here.
    for (const type of [Error, TypeError, RangeError, SyntaxError, AggregateError, Date]) {
      this.global[type.name] = type;
    }
  }
}
