/** `npm run mutation`: docs/proof.md, "Mutation". */
export default {
  testRunner: 'circus',
  plugins: ['./test/mutation/runner.mjs'],
  mutate: [
    'src/proof/checker/*.ts',
    'src/idempotency/{engine-options,errors,identity,key-header,progress}.ts',
  ],
  mutation: {
    tests: [
      'test/white-box/proof/checker.spec.ts',
      'test/white-box/proof/recovery.spec.ts',
      'test/white-box/idempotency/errors.spec.ts',
      'test/white-box/idempotency/identity.spec.ts',
      'test/white-box/idempotency/key-header.spec.ts',
      'test/white-box/idempotency/progress.spec.ts',
    ],
    database: false,
  },
  ignorePatterns: ['.build', '.data', 'bench', 'dist', 'docs'],
  tsconfigFile: 'none', // else Stryker needs a TypeScript of its own
  coverageAnalysis: 'perTest',
  concurrency: 1,
  reporters: ['clear-text', 'progress-append-only', 'html', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  htmlReporter: { fileName: '.data/mutation/report.html' },
  jsonReporter: { fileName: '.data/mutation/report.json' },
  tempDirName: '.data/mutation/sandbox',
};
