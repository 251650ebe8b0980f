/**
 * The import table. Imports go one way:
 *   environment, idempotency, money <- log <- database <- http <- jobs <- accounts, processor <- events, stock, telemetry <- orders <- charges <- refunds <- effects, problems, webhooks <- audit, openapi <- reconciliation <- lab, local <- proof <- programs
 * So no two rooms import each other. The engine imports nothing of ours; the sandbox imports nothing of the rest but
 * the table of currencies, and nothing imports it.
 * `npm run lint` holds the source to it; test/architecture.spec.ts shows that a breach is found.
 */
const LAYERS = [
  ['environment', 'idempotency', 'money'],
  ['log'],
  ['database'],
  ['http'],
  ['jobs'],
  ['accounts', 'processor'],
  ['events', 'stock', 'telemetry'],
  ['orders'],
  ['charges'],
  ['refunds'],
  ['effects', 'problems', 'webhooks'],
  ['audit', 'openapi'],
  ['reconciliation'],
  ['lab', 'local'],
  ['proof'],
  ['programs'],
];

/** They start the application, so they may import the files in the root of src. */
const ABOVE_THE_ROOT = ['local', 'programs'];

// A fixture for the test lives under test/; it has the same shape as src/.
const ROOT = '(?:src|test/fixtures/breach)';

/** Not in the table, because it starts programs and so knows them. */
const BESIDE = { lab: ['local'] };

const upward = LAYERS.flatMap((folders, layer) =>
  folders.map((folder) => {
    const below = [...LAYERS.slice(0, layer).flat(), ...(BESIDE[folder] ?? [])];
    return {
      name: `${folder}-imports-downward-only`,
      severity: 'error',
      comment: `${folder} may import ${below.join(', ') || 'nothing of ours'}.`,
      from: { path: `^${ROOT}/${folder}/` },
      to: {
        path: `^${ROOT}/`,
        pathNot: [
          `^${ROOT}/(?:${[folder, ...below].join('|')})/`,
          ...(ABOVE_THE_ROOT.includes(folder) ? [`^${ROOT}/[^/]+$`] : []),
        ],
      },
    };
  }),
);

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'sandbox-is-independent',
      severity: 'error',
      comment:
        'The processor is another company. The sandbox shares only the protocol and one table of facts that Stripe publishes, because two copies of that table would differ one day.',
      from: { path: `^${ROOT}/sandbox/` },
      to: { path: `^${ROOT}/`, pathNot: `^${ROOT}/(?:sandbox/|money/currencies\\.ts$)` },
    },
    {
      name: 'nothing-imports-the-sandbox',
      severity: 'error',
      from: { path: `^${ROOT}/`, pathNot: `^${ROOT}/sandbox/` },
      to: { path: `^${ROOT}/sandbox/` },
    },
    {
      name: 'only-the-app-modules-import-the-lab',
      severity: 'error',
      from: {
        path: `^${ROOT}/`,
        pathNot: `^${ROOT}/(?:lab/|(?:app|worker)\\.module\\.ts|programs/(?:lab|lab-cli|demo)\\.ts|proof/report/)`,
      },
      to: { path: `^${ROOT}/lab/` },
    },
    {
      name: 'proof-knows-nothing-of-the-service',
      severity: 'error',
      comment:
        'It judges the service from outside. From local it takes PostgreSQL, ports and the supervisor. Only the schedules run the code of the service, statement by statement.',
      from: { path: `^${ROOT}/proof/(?!schedules/|report/)` },
      to: { path: `^${ROOT}/`, pathNot: `^${ROOT}/(?:proof|local|environment)/` },
    },
    {
      name: 'the-report-knows-the-diagram-of-the-lab',
      severity: 'error',
      comment:
        'A witness is a run that the lab can open, and a picture by the same renderer. No more of the lab.',
      from: { path: `^${ROOT}/proof/report/` },
      to: { path: `^${ROOT}/`, pathNot: `^${ROOT}/(?:proof/|lab/(?:run|drawing)\\.ts$)` },
    },
    {
      name: 'nothing-imports-telemetry',
      severity: 'error',
      comment:
        'Observed code does not know telemetry: the engine calls a probe, and the processor is wrapped.',
      from: { path: `^${ROOT}/`, pathNot: `^${ROOT}/(?:telemetry/|(?:app|worker)\\.module\\.ts)` },
      to: { path: `^${ROOT}/telemetry/` },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
