import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

interface Service {
  image: string;
  build?: string;
  command: string[];
  environment: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  restart: string;
  volumes?: string[];
  ports?: string[];
}

const text = (path: string) => readFileSync(path, 'utf8');
const compose = parse(text('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const services = Object.entries(compose.services);
const servers = services.filter(([name]) => name !== 'migrate');
const programs = services.filter(([name]) => name !== 'postgres');

/** A full version: `20` or `latest` changes over time. */
const PINNED = /^[\w./-]+:\d+\.\d+(\.\d+)?-[a-z-]+$/;

describe('docker-compose.yml', () => {
  it('has PostgreSQL, migrations, sandbox, worker and API', () => {
    expect(Object.keys(compose.services).sort()).toEqual([
      'api',
      'migrate',
      'postgres',
      'sandbox',
      'worker',
    ]);
  });

  it.each(services)('pins the image of %s, or builds it here', (_name, { image, build }) => {
    if (build === undefined) expect(image).toMatch(PINNED);
    else expect([build, image]).toEqual(['.', 'charge-once:local']);
  });

  it.each(servers)('checks the health of %s and restarts it', (_name, service) => {
    expect(service.restart).toBe('unless-stopped');
    expect(service.healthcheck?.test.join(' ')).toMatch(/pg_isready|\/health\/ready/);
  });

  it('migrates once, before the programs that need the schema', () => {
    expect(compose.services.migrate?.restart).toBe('no');
    for (const name of ['api', 'worker'])
      expect(compose.services[name]?.depends_on?.migrate?.condition).toBe(
        'service_completed_successfully',
      );
  });

  it.each(services)('mounts no host directory into %s', (_name, { volumes = [] }) => {
    for (const volume of volumes)
      expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0]);
  });

  it.each(programs)(
    'gives %s a program that exists and only settings that it reads',
    (name, service) => {
      const [node, , script = ''] = service.command;
      expect(node).toBe('node');
      expect(() => text(script.replace(/^dist\/(.*)\.js$/, '$1.ts'))).not.toThrow();
      const readers =
        name === 'sandbox'
          ? ['src/sandbox/config.ts']
          : ['src/config.ts', 'src/environment/environment.ts'];
      const reader = readers.map(text).join('\n');
      for (const variable of Object.keys(service.environment)) {
        expect(reader).toMatch(new RegExp(`env\\.${variable}\\b|'${variable}'`));
      }
    },
  );

  it('contains no password', () => {
    for (const [, value] of services.flatMap(([, { environment }]) =>
      Object.entries(environment),
    )) {
      expect(value).not.toMatch(/:\/\/[^/@:]*:(?!\$\{)[^/@]*@/);
      expect(value).not.toMatch(/sk_(test|live)_/);
    }
    expect(compose.services.postgres?.environment.POSTGRES_PASSWORD).toMatch(
      /^\$\{POSTGRES_PASSWORD:\?/,
    );
  });

  it('keeps PostgreSQL durable and its log without the values of rows', () => {
    const command = compose.services.postgres?.command.join(' ');
    expect(command).not.toMatch(/=off/);
    expect(command).toContain('log_error_verbosity=terse');
  });
});

describe('Dockerfile', () => {
  const lines = text('Dockerfile').split('\n');
  const of = (instruction: string) =>
    lines.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.split(/\s+/));

  it('builds in one stage and runs in another, both from pinned images', () => {
    const images = of('FROM').map(([, image]) => image);
    expect(images).toHaveLength(2);
    for (const image of images) expect(image).toMatch(PINNED);
  });

  it('does not run as root, and copies no sources into the last stage', () => {
    const last = lines.slice(
      lines.lastIndexOf(lines.filter((line) => line.startsWith('FROM')).at(-1)!),
    );
    expect(last).toContain('USER node');
    expect(
      last.filter((line) => line.startsWith('COPY') && !line.includes('--from=build')),
    ).toEqual([]);
  });

  it('copies everything that .dockerignore lets through, and nothing else', () => {
    const rules = text('.dockerignore')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
    const allowed = rules.filter((rule) => rule.startsWith('!')).map((rule) => rule.slice(1));
    const copied = of('COPY')
      .filter(([, first]) => !first?.startsWith('--'))
      .flatMap((words) => words.slice(1, -1));
    expect(rules[0]).toBe('*');
    expect(allowed.sort()).toEqual(copied.sort());
  });
});
