const CHECK = 'Check DATABASE_URL.';

const REFUSALS: Readonly<Record<string, string>> = {
  '28P01': `The database refuses user or password (28P01). ${CHECK}`,
  '28000': `The database refuses this user from here (28000). ${CHECK}`,
  '3D000': `There is no such database on that server. ${CHECK}`,
  '08P01':
    'The pooler in front of the database refuses our start-up parameters. Set ignore_startup_parameters = options in PgBouncer.',
};

/** One line for the operator: what to repair when PostgreSQL, or a pooler in front of it, refuses the connection. */
export function databaseRefusal(error: unknown): string | undefined {
  const { code = '', message } = error as { code?: string; message?: string };
  // `pg` gives this error no code, and treats `prefer` like `require`.
  if (message === 'The server does not support SSL connections')
    return `The database has no TLS, but PGSSLMODE (or sslmode) requires it. Unset it, or turn on TLS in the server.`;
  return Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined;
}
