import { setTimeout as delay } from 'node:timers/promises';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';

type StartOptions = Parameters<typeof startEmbeddedPostgres>[0];

/** The pause after a failed start, for example on a full disk. It is repaired meanwhile, or the user stops us. */
const FAILED_PAUSE_MS = 1_000;

export interface Keeping {
  /** The options of the first start. The port stays the same, so that all pools can reconnect. */
  options: Omit<StartOptions, 'port'>;
  isStopping: () => boolean;
  onEnd?: (server: EmbeddedPostgres) => void;
  onStart: (server: EmbeddedPostgres) => void;
  onFailure?: (error: Error) => void;
  /** Called with a server that started after the stop began. */
  stop: (server: EmbeddedPostgres) => Promise<unknown>;
}

/** Starts a PostgreSQL server again each time it ends. Resolves when the last server has ended. */
export async function keepRestarting(
  server: EmbeddedPostgres,
  { options, isStopping, onEnd, onStart, onFailure, stop }: Keeping,
): Promise<void> {
  const { port } = server;
  for (;;) {
    await server.exited;
    if (isStopping()) return;
    onEnd?.(server);
    const again = await startEmbeddedPostgres({ ...options, port }).catch((error: Error) =>
      onFailure?.(error),
    );
    if (again) onStart((server = again));
    else await delay(FAILED_PAUSE_MS);
    if (again && isStopping()) await stop(again);
  }
}
