import { execFile } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { EXIT_CONFIGURATION, loadConfig } from '../../src/config.js';
import { ConfigurationError } from '../../src/environment/environment.js';
import { built } from '../support/build.js';

const DATABASE_URL = 'postgres://app:p4ssw0rd@127.0.0.1:5432/charges';
const load = (env: Record<string, string>) => loadConfig({ DATABASE_URL, ...env });

function refusal(env: Record<string, string | undefined>): string {
  try {
    loadConfig({ DATABASE_URL, ...env });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as Error).message;
  }
  throw new Error('the configuration was accepted');
}

describe('the configuration', () => {
  it('needs a database and nothing else', () => {
    expect(loadConfig({ DATABASE_URL })).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      workerPort: 3001,
      databaseUrl: DATABASE_URL,
      lab: false,
      idempotency: { waitMs: 5_000, ttlSeconds: 604_800 },
      processor: { name: 'sandbox', baseUrl: new URL('http://127.0.0.1:4242'), timeoutMs: 8_000 },
    });
  });

  it('treats an empty variable as one that is not set', () => {
    const empty = Object.fromEntries(
      [
        'HOST',
        'PORT',
        'WORKER_PORT',
        'LAB',
        'STRIPE_SECRET_KEY',
        'PROCESSOR_URL',
        'IDEMPOTENCY_WAIT_MS',
      ].map((name) => [name, '']),
    );
    expect(load(empty)).toEqual(load({}));
  });

  it.each([
    ['PORT', ['x', '-1', '65536', '3000.5', '0x10', '1e3', ' 3000']],
    ['WORKER_PORT', ['65536']],
    ['SANDBOX_PORT', ['http']],
    ['DATABASE_POOL_SIZE', ['0', '1001']],
    ['IDEMPOTENCY_WAIT_MS', ['-1', '30001']],
    ['IDEMPOTENCY_TTL_SECONDS', ['0', '7d']],
    ['IDEMPOTENCY_REAP_INTERVAL_SECONDS', ['0']],
    ['CHARGE_DEADLINE_SECONDS', ['0', '3601']],
    ['PROCESSOR_KEY_WINDOW_SECONDS', ['-1', '86400']],
    ['SANDBOX_KEY_TTL_SECONDS', ['0', '1d']],
    ['PROCESSOR_TIMEOUT_MS', ['99', '60001']],
    ['WEBHOOK_TIMEOUT_MS', ['99', '15001']],
    ['LAB', ['yes', 'true', '2']],
    ['ALLOW_LIVE', ['yes']],
    ['HOST', ['http://localhost', 'a b', '127.0.0.1:3000']],
    ['DATABASE_URL', ['127.0.0.1', 'mysql://h/d', 'postgres//h/d', 'postgres://u:p%zz@h/d']],
    ['PROCESSOR_URL', ['localhost:4242', 'ftp://h']],
    ['STRIPE_SECRET_KEY', ['pk_test_1', 'sk_test_', 'whsec_1', 'sk_test_a b']],
    ['PROCESSOR_WEBHOOK_SECRET', ['whsec_sandbox', 'whsec_0123456789\n', 'whsec_ 0123456789']],
  ])('names %s when it is wrong, and the repair, on one line', (name, values) => {
    for (const value of values) {
      const message = refusal({ [name]: value });
      expect(message).toMatch(new RegExp(`^${name}\\b`));
      expect(message).not.toContain('\n');
      expect(message.length).toBeGreaterThan(name.length + 20);
    }
  });

  it('names DATABASE_URL when it is missing', () => {
    expect(refusal({ DATABASE_URL: undefined })).toMatch(
      /^DATABASE_URL is not set\. Set it to .*npm start/,
    );
    expect(refusal({ DATABASE_URL: '' })).toBe(refusal({ DATABASE_URL: undefined }));
  });

  it.each(['sk_live_s3cret', 'rk_live_s3cret'])(
    'refuses the live key %s unless it is allowed',
    (key) => {
      expect(refusal({ STRIPE_SECRET_KEY: key })).toMatch(
        /^STRIPE_SECRET_KEY is a live key.*ALLOW_LIVE=1/,
      );
      expect(refusal({ STRIPE_SECRET_KEY: key, ALLOW_LIVE: '0' })).toContain('live');
      expect(load({ STRIPE_SECRET_KEY: key, ALLOW_LIVE: '1' }).processor.name).toBe('stripe_live');
    },
  );

  it('repeats a charge only while the processor is sure to remember its key', () => {
    const windowOf = (env: Record<string, string>) => load(env).abandonLimits.keyWindowMs;
    expect(windowOf({})).toBe(72_000_000);
    expect(windowOf({ SANDBOX_KEY_TTL_SECONDS: '24' })).toBe(20_000);
    expect(windowOf({ SANDBOX_KEY_TTL_SECONDS: '24', PROCESSOR_KEY_WINDOW_SECONDS: '23' })).toBe(
      23_000,
    );
    expect(windowOf({ SANDBOX_KEY_TTL_SECONDS: '24', STRIPE_SECRET_KEY: 'sk_test_1' })).toBe(
      72_000_000,
    );
    expect(refusal({ SANDBOX_KEY_TTL_SECONDS: '24', PROCESSOR_KEY_WINDOW_SECONDS: '24' })).toMatch(
      /^PROCESSOR_KEY_WINDOW_SECONDS=24 is not less than the 24 s .* new payment/,
    );
  });

  it('accepts a test key for Stripe itself', () => {
    const { name, baseUrl } = load({ STRIPE_SECRET_KEY: 'sk_test_1' }).processor;
    expect({ name, baseUrl }).toEqual({ name: 'stripe_test', baseUrl: undefined });
  });

  it('refuses the lab in production', () => {
    expect(refusal({ LAB: '1', NODE_ENV: 'production' })).toMatch(/^LAB=1 is refused.*Unset LAB/);
    expect(load({ LAB: '0', NODE_ENV: 'production' })).toMatchObject({
      production: true,
      lab: false,
    });
  });

  it.each<[boolean, Record<string, string>]>([
    [false, {}],
    [false, { LAB: '1' }],
    [true, { NODE_ENV: 'production' }],
    [true, { STRIPE_SECRET_KEY: 'sk_test_1' }],
    [true, { STRIPE_SECRET_KEY: 'sk_test_1', LAB: '1' }],
    [true, { STRIPE_SECRET_KEY: 'sk_live_1', ALLOW_LIVE: '1' }],
  ])('sets webhooks.publicOnly to %s with %j', (publicOnly, env) => {
    expect(load(env).webhooks).toMatchObject({ publicOnly });
  });

  it.each<[string, Record<string, string>]>([
    ['the sandbox', {}],
    ['Stripe', { STRIPE_SECRET_KEY: 'sk_test_1' }],
  ])('has no default secret for the notifications of %s', (_processor, env) => {
    expect(load(env).processor).not.toHaveProperty('webhookSecret');
    const secret = { PROCESSOR_WEBHOOK_SECRET: 'whsec_0123456789' };
    expect(load({ ...env, ...secret }).processor.webhookSecret).toBe('whsec_0123456789');
    const inProduction = load({ ...env, NODE_ENV: 'production' });
    expect(inProduction.processor).not.toHaveProperty('webhookSecret');
  });

  it('shows no password and no key in its errors', () => {
    const secrets: Record<string, string>[] = [
      { DATABASE_URL: 'mysql://u:s3cret@h/d' },
      { DATABASE_URL: 'postgres://u:s3cret@h:port/d' },
      { DATABASE_URL: 'postgres://u:s3cret%zz@h/d' },
      { PROCESSOR_URL: 'ftp://u:s3cret@h' },
      { STRIPE_SECRET_KEY: 'sk_live_s3cret' },
      { STRIPE_SECRET_KEY: 's3cret' },
      { PROCESSOR_WEBHOOK_SECRET: 's3cret' },
    ];
    for (const env of secrets) expect(refusal(env)).not.toContain('s3cret');
  });
});

describe.each(['api.js', 'worker.js'])('the process %s', (program) => {
  it('exits with 78 and one line', async () => {
    const env = { STRIPE_SECRET_KEY: 'sk_live_s3cret', DATABASE_URL };
    const { code, output } = await start(program, env);
    expect(output).toBe(`${refusal(env)}\n`);
    expect(output).not.toMatch(/s3cret|p4ssw0rd/);
    expect(code).toBe(EXIT_CONFIGURATION);
  });
});

/** In an environment that contains only this. */
function start(
  program: string,
  env: Record<string, string>,
): Promise<{ code: unknown; output: string }> {
  return new Promise((done) => {
    const file = built(`src/programs/${program}`);
    execFile(process.execPath, [file], { env }, (error, stdout, stderr) =>
      done({ code: error?.code, output: stdout + stderr }),
    );
  });
}
