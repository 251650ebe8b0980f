import pure from '../../stryker.config.mjs';

/** `npm run mutation -- test/mutation/statements.config.mjs`: the part of the engine that needs PostgreSQL. */
export default {
  ...pure,
  mutate: ['src/idempotency/{completer,due-records,engine,lease,record.entity,records}.ts'],
  mutation: {
    tests: [
      'test/white-box/idempotency/attempts.spec.ts',
      'test/white-box/idempotency/leases.spec.ts',
      'test/white-box/idempotency/recovery.spec.ts',
      'test/white-box/idempotency/single-statement.spec.ts',
      'test/white-box/idempotency/races.spec.ts',
    ],
    database: true,
  },
  timeoutMS: 60_000, // for a busy machine: an endless loop reaches Stryker's limit of hits first
  htmlReporter: { fileName: '.data/mutation/statements.html' },
  jsonReporter: { fileName: '.data/mutation/statements.json' },
  tempDirName: '.data/mutation/statements',
};
