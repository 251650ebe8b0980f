import { availableParallelism } from 'node:os';

export default {
  testEnvironment: '<rootDir>/test/support/native/environment.mjs',
  roots: ['<rootDir>/src', '<rootDir>/migrations', '<rootDir>/test'],
  watchman: false,
  reporters: ['<rootDir>/test/support/reporter.mjs', 'summary'],
  testMatch: ['<rootDir>/test/**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '\\.([cm]?js|ts)$': '<rootDir>/test/support/native/transform.mjs',
  },
  transformIgnorePatterns: ['/node_modules/(@?jest|expect)[^/]*/'],
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  setupFiles: ['<rootDir>/test/support/worker-env.ts'],
  setupFilesAfterEnv: ['<rootDir>/test/support/after-each-file.ts'],
  testTimeout: 300_000, // for hangs, not for speed: on a starved machine a program's imports alone take 40 s
  maxWorkers: availableParallelism() * 2, // almost half of a file's time is waiting
};
