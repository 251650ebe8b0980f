import { Completer } from '../../../src/idempotency/completer.js';
import type { EngineOptions } from '../../../src/idempotency/engine-options.js';
import { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import {
  type EngineProbe,
  OperationRegistry,
  SilentProbe,
  type Operation,
} from '../../../src/idempotency/operation.js';
import { openFreshDatabase } from '../../support/open-database.js';

/** The engine alone: without HTTP, Nest and loops, on its own database, with one operation. */
export async function engineAlone(operation: Operation, poolSize?: number) {
  const { db, close } = await openFreshDatabase(poolSize);
  const operations = new OperationRegistry();
  operations.register(operation);
  return {
    db,
    operations,
    close,
    start(options: EngineOptions, probe: EngineProbe = new SilentProbe()) {
      const completer = new Completer(db, operations, probe, options);
      const engine = new IdempotencyEngine(db, operations, completer, probe, options);
      return { engine, completer };
    },
  };
}
