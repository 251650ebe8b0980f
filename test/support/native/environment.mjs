import { createRequire } from 'node:module';
import { TestEnvironment } from 'jest-environment-node';

/** A test file's world, with a door to Node's own module loader for what transform.mjs hands over to it. */
export default class NativeEnvironment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    // In the constructor: the setup files of the configuration run before `setup`.
    this.global.requireNatively = createRequire(import.meta.url);
    this.global.Reflect = Reflect; // decorators of test files leave their metadata there, and Nest reads them
    // What a test throws into the application is an Error there, and the times that it reads are Dates here.
    for (const type of [Error, TypeError, RangeError, SyntaxError, AggregateError, Date]) {
      this.global[type.name] = type;
    }
  }
}
