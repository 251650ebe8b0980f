import { afterAll } from '@jest/globals';
import { expectPromisesKept } from './retry-promise.js';

// Checks the promises of `retry` over every answer that a test received.
afterAll(() => expectPromisesKept());
