import { spawn } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from './support/books.js';
import { startStack, type Stack } from './support/stack.js';

const readme = await readFile('README.md', 'utf8');

interface Step {
  commands: string;
  /** The output that the README shows; `…` matches anything. */
  printed: string;
}

/** The blocks marked `bash tour`, each with the `text` block that follows it. */
function tour(): Step[] {
  const steps = readme.matchAll(/^```bash tour\n([^]*?)^```\n+^```text\n([^]*?)^```$/gm);
  return [...steps].map(([, commands = '', printed = '']) => ({ commands, printed }));
}

/** Runs the steps in one shell, as a reader would, and returns the output of each. */
async function runInOneShell(steps: string[], env: Record<string, string>): Promise<string[]> {
  const shell = spawn('bash', ['-s'], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  shell.stdin.end(['exec 2>&1', ...steps.map((step) => `${step}\nprintf '\\036'`)].join('\n'));
  return (await readText(shell.stdout)).split('\x1e');
}

function asPattern(printed: string): RegExp {
  const literal = printed.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replaceAll('…', '[^]*?')}$`);
}

describe('the tour of the README', () => {
  let stack: Stack | undefined;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(async () => {
    await stack?.stop();
  });

  test('prints what the README shows', async () => {
    const steps = tour();
    expect(steps).toHaveLength(5);
    if (!stack) throw new Error('the stack did not start');
    const hosts = { '3000': new URL(stack.apiUrl).host, '4242': new URL(stack.sandboxUrl).host };
    const printed = await runInOneShell(
      steps.map(({ commands }) =>
        commands.replaceAll(/127\.0\.0\.1:(3000|4242)/g, (_, port: '3000' | '4242') => hosts[port]),
      ),
      { DATABASE_URL: stack.databaseUrl, PROCESSOR_URL: stack.sandboxUrl },
    );
    for (const [i, step] of steps.entries()) {
      expect(printed[i]?.replaceAll('\r', '').trim()).toMatch(asPattern(step.printed));
    }
    await expectCleanBooks(stack);
  });
});

describe('the README', () => {
  test('shows the output of each block of the tour', () => {
    expect(readme.match(/^```bash/gm)).toHaveLength(tour().length);
  });

  test('is shorter than 250 lines', () => {
    expect(readme.split('\n').length).toBeLessThan(250);
  });

  test('has as many cells in each row of a table as in its head', () => {
    const tables = readme.matchAll(/(?:^\|.*\n)+/gm);
    const cells = (row: string) => row.replaceAll(/`[^`]*`/g, '').split('|').length;
    const uneven = [...tables].flatMap(([table]) => {
      const [head = '', ...rows] = table.trimEnd().split('\n');
      return rows.filter((row) => cells(row) !== cells(head));
    });
    expect(uneven).toEqual([]);
  });

  test('names only files that exist', async () => {
    const inTheText = readme.matchAll(
      /`((?:src|test|migrations|bench)\/[\w./-]*)`|\]\(([^)#:]+)\)/g,
    );
    const paths = [...inTheText].map(([, span, link]) => span ?? link ?? '');
    expect(paths.length).toBeGreaterThan(30);
    const missing: string[] = [];
    for (const path of paths) await access(path).catch(() => missing.push(path));
    expect(missing).toEqual([]);
  });

  test('names only scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: object };
    const named = readme.matchAll(/\bnpm (?:run ([a-z:]+)|(start|test)\b)/g);
    const missing = [...named]
      .map(([, run, short]) => run ?? short ?? '')
      .filter((name) => !(name in scripts));
    expect(missing).toEqual([]);
  });
});
