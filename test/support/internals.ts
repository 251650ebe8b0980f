/** The internals that black-box tests may name: derived ids, crash points, programs. */
export { addApiKey, hashApiKey } from '../../src/accounts/new-account.js';
export { ensureDemoAccounts } from '../../src/accounts/demo-accounts.js';
export { deriveId } from '../../src/idempotency/identity.js';
export { EngineProbe, PROBE_POINTS, type ProbePoint } from '../../src/idempotency/operation.js';
export { etagOf } from '../../src/http/conditional.js';
export { checkDatabase } from '../../src/database/database-check.js';
export { TypeOrmDatabase, databaseOptions } from '../../src/database/database.js';
export { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/local/embedded-postgres.js';
export { migrate } from '../../src/database/migrate.js';
export type { Cell } from '../../src/lab/run.js';
export { freePort } from '../../src/local/ports.js';
export { isAlive, signal, waitForDeath } from '../../src/local/processes.js';
export { SESSION_LIMITS_MS, SESSION_MEANING } from '../../src/database/session.js';
export {
  SandboxConfigError,
  readSandboxConfig,
  type WebhookConfig,
} from '../../src/sandbox/config.js';
export { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.server.js';
