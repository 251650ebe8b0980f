import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config.js';
import { readSandboxConfig } from '../../src/sandbox/config.js';

/** The variables of .env.example with the values that they have there, commented out or not. */
let example: Map<string, string>;
let text: string;

beforeAll(async () => {
  text = await readFile('.env.example', 'utf8');
  const lines = [...text.matchAll(/^#?([A-Z_]+)=(.*)$/gm)];
  example = new Map(lines.map(([, name = '', value = '']) => [name, value]));
  expect(lines).toHaveLength(example.size); // none twice
});

/** What the readers of the environment read: `env.NAME`, and `(env, 'NAME'` of their helpers. */
async function variablesRead(): Promise<Set<string>> {
  const local = (await readdir('src/local')).map((name) => `local/${name}`);
  const files = ['config.ts', 'sandbox/config.ts', ...local];
  const sources = await Promise.all(files.map((name) => readFile(`src/${name}`, 'utf8')));
  const reads = sources
    .join('\n')
    .matchAll(/\benv\.([A-Z_]+)\b|\(env, '([A-Z_]+)'|\benv\['([A-Z_]+)'\]/g);
  return new Set(
    [...reads].map(([, member, argument, index]) => member ?? argument ?? index ?? ''),
  );
}

describe('.env.example', () => {
  test('names every variable that the code reads, and no other', async () => {
    expect([...example.keys()].sort()).toEqual([...(await variablesRead())].sort());
  });

  test('shows the defaults', () => {
    const DATABASE_URL = 'postgres://db.example/charge_once';
    const shown = { ...Object.fromEntries(example), DATABASE_URL };
    expect(loadConfig(shown)).toEqual(loadConfig({ DATABASE_URL }));
    expect(readSandboxConfig(shown)).toEqual(readSandboxConfig({ DATABASE_URL }));
  });

  test('changes nothing when it is taken as it stands', () => {
    expect(text).not.toMatch(/^[^#\n]/m);
  });

  test('says of each variable what it means, and of each number its unit', () => {
    for (const [, comment, name, value] of text.matchAll(/((?:^# .*\n)*)^#([A-Z_]+)=(.*)$/gm)) {
      expect([name, comment]).toEqual([name, expect.stringMatching(/^# \S/)]);
      if (Number(value) > 0) {
        expect([name, comment]).toEqual([
          name,
          expect.stringMatching(/Seconds|Milliseconds|port|Connections|Number|Requests/),
        ]);
      }
    }
  });
});
