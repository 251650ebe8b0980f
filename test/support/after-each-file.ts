import { afterAll } from '@jest/globals';
import { expectPromisesKept } from './retry-promise.js';

// `retry` is an invariant over every answer that any test sees.
afterAll(() => expectPromisesKept());
