import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import ajv from 'ajv/dist/2020.js';
import { builtModule } from '../support/build.js';
import { check, program, SMALL } from './conformance.support.js';
import { SmallServer } from './small-server.js';

let correct: SmallServer;
let wrong: SmallServer;
beforeAll(async () => {
  correct = await SmallServer.start();
  wrong = await SmallServer.start('ignores the key');
});
afterAll(async () => {
  await correct.stop();
  await wrong.stop();
});

const PROFILE = 'src/conformance/profiles/charge-once.json';
const REPLAYS = ['--only', 'replay'];

describe('npm run conformance', () => {
  it('explains itself', async () => {
    const help = await program(['--help']);
    expect(help.exitCode).toBe(0);
    expect(help.output).toMatch(/^Usage: npm run conformance -- --url /);
    const options = [...help.output.matchAll(/^ {2}--(\w+) /gm)].map(([, name]) => name);
    expect(options).toEqual([
      ...['profile', 'url', 'only', 'strict', 'html', 'junit', 'json', 'markdown'],
      ...['compare', 'list', 'schema', 'help'],
    ]);
    const list = await program(['--list', '--only', 'scope']);
    expect(list.output).toMatch(/^must {4}scope\.account-own-object +.*\n[^]*\n8 cases\n$/);
  });

  it.each([
    [[], /--profile is missing/],
    [['--wat'], /Unknown option '--wat'/],
    [['--profile', 'x.json', '--only', 'nonsense'], /--only nonsense: no such group or case/],
    [['--profile', 'x.json', '--url', 'ftp://a'], /--url ftp:\/\/a: not an http or https URL/],
    [['--profile', 'x.json', '--url', 'https://me:secret@a'], /without credentials/],
    [['--compare'], /--compare needs JSON reports/],
    [
      ['--profile', PROFILE, '--url', 'http://a', '--html', 'no/such/folder/x.html'],
      /--html no\/such\/folder\/x\.html: cannot be written \(ENOENT\)/,
    ],
  ])('ends with 64 when it is used as %j', async (args, words) => {
    const { exitCode, output } = await program(args);
    expect(exitCode).toBe(64);
    expect(output).toMatch(words);
  });

  it.each([
    [{ ...SMALL, nmae: 'typo' }, '/nmae is unknown here; known: '],
    [{ ...SMALL, count: { path: '/things' } }, '/count needs items and reference, or number'],
    [{ ...SMALL, count: { path: 'things' } }, '/count/path is "things", which does not match ^/'],
    [{ ...SMALL, keyHeader: 'Idempotency Key' }, '/keyHeader is "Idempotency Key", which does not'],
    [
      { ...SMALL, limits: { maxConcurrency: 2.5 } },
      '/limits/maxConcurrency is number, not integer',
    ],
    [
      { ...SMALL, headers: { 'X-Key': 'a\r\nX: b' } },
      '/headers or those of an account hold a line',
    ],
    [
      { ...SMALL, create: { ...SMALL.create, changes: { value: { amount: 12 } } } },
      '/create/changes/value changes nothing in the body',
    ],
    [
      { ...SMALL, create: { ...SMALL.create, id: '$.identifier' } },
      'the answer has nothing at $.identifier (create.id)',
    ],
    [
      { ...SMALL, count: { ...SMALL.count, reference: '$.nope' } },
      '0 objects were made, not 1 (counted by GET /things: $.data, those whose $.nope holds cf-',
    ],
    [{ ...SMALL, accounts: [] }, '/accounts has fewer than 1 items'],
    [{ ...SMALL, promises: { onMismatch: 418 } }, '/promises/onMismatch is 418, not one of 422'],
    [{ ...SMALL, headers: { 'X-Key': '${NO_SUCH}' } }, 'needs the environment variable NO_SUCH'],
    [{ ...SMALL, create: { ...SMALL.create, path: undefined } }, '/create/path is missing'],
    [
      { ...SMALL, create: { ...SMALL.create, body: { amount: 1 } } },
      '/create/body has no {{reference}}',
    ],
  ])('ends with 2 and the place when the profile is wrong: %#', async (profile, words) => {
    const { exitCode, output } = await check(profile, correct.url);
    expect(exitCode).toBe(2);
    expect(output).toContain(words);
  });

  it('ends with 2 when the API cannot be reached', async () => {
    const stopped = await SmallServer.start();
    const { url } = stopped;
    await stopped.stop();
    const { exitCode, output } = await check(SMALL, url);
    expect(exitCode).toBe(2);
    expect(output).toMatch(/no connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
  });

  it('ends with 2 when the count does not change, because it could not find a double charge', async () => {
    const body = { data: [{ name: 'always the same' }] };
    const server = createServer((request, response) => {
      response.writeHead(request.method === 'POST' ? 201 : 200, {
        'content-type': 'application/json',
      });
      response.end(JSON.stringify({ id: '1', ...body }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const { exitCode, output } = await check(SMALL, `http://127.0.0.1:${port}`);
    server.close();
    expect(exitCode).toBe(2);
    expect(output).toContain('0 objects were made, not 1');
  });

  it('sends no more than its limits, and says so', async () => {
    const limits = { maxRequests: 60, maxConcurrency: 5, requestsPerSecond: 100_000 };
    const { report, exitCode, output } = await check({ ...SMALL, limits }, correct.url);
    expect(output).toContain('At most 60 requests, 5 at one time');
    expect(output).toContain('The run is incomplete: the cap of 60 requests is reached');
    expect(report?.requests).toBeLessThanOrEqual(60);
    expect(report?.peak).toBeLessThanOrEqual(5);
    expect(exitCode).toBe(2);
  });

  it('ends when the API dies, and names the case after which it did', async () => {
    const fragile = await SmallServer.start('dies of a number');
    const { output, report, exitCode } = await check(SMALL, fragile.url, '--only', 'errors');
    expect(exitCode).toBe(2);
    expect(output).toContain('the API can no longer be reached after errors.no-server-error');
    expect(report?.cases.at(-1)).toMatchObject({ verdict: 'not-run' });
  });

  it('counts a failed should only with --strict', async () => {
    const cuts = await SmallServer.start('writes the answer again for a replay');
    const only = ['--only', 'replay.bytes'];
    expect((await check(SMALL, cuts.url, ...only)).exitCode).toBe(0);
    expect((await check(SMALL, cuts.url, ...only, '--strict')).exitCode).toBe(1);
    await cuts.stop();
  });

  it('needs nothing but Node and its own folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'conformance-lifted-'));
    await cp(builtModule('src/conformance'), join(folder, 'conformance'), { recursive: true });
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    const lifted = await program(['--list'], {}, join(folder, 'conformance/main.js'));
    await rm(folder, { recursive: true });
    expect(lifted.output).toBe((await program(['--list'])).output);
    expect(lifted.exitCode).toBe(0);
  });
});

describe('the reports', () => {
  it('show what failed, what it costs, and a request that can be tried again', async () => {
    const { files } = await check(SMALL, wrong.url, ...REPLAYS);
    const page = files['report.html']!;
    expect(page).toContain('<code>replay.one-object</code>');
    expect(page).toContain('What happened: 2 objects were made, not 1.');
    expect(page).toContain('What it costs: The customer pays twice for one purchase.');
    expect(page).toContain(`curl -sS -i -X POST &#39;${wrong.url}/things&#39;`);
    expect(page).not.toMatch(/<script|src=|url\(|@import/);
    expect(files['report.md']).toContain('| `replay.one-object` | must |');
  });

  it('are JUnit in which each failed must is a failure', async () => {
    const { files, report } = await check(SMALL, wrong.url, ...REPLAYS);
    const xml = files['report.xml']!;
    const failed = report!.cases.filter((each) => each.level === 'must' && each.verdict === 'fail');
    expect(xml).toMatch(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="small/);
    expect(xml.match(/<failure /g)).toHaveLength(failed.length);
    expect(xml.match(/<testcase /g)).toHaveLength(report!.cases.length);
    expect(xml).toContain(`tests="${report!.cases.length}" failures="${failed.length}"`);
    expectWellFormed(xml);
    expectWellFormed(files['report.html']!.replace(/<!doctype html>|<(?:meta|br)\b[^>]*>/g, ''));
  });

  it('hold no credentials', async () => {
    const { files, output } = await check(SMALL, wrong.url);
    for (const text of [...Object.values(files), output]) expect(text).not.toContain('secret-of-');
    expect(files['report.html']).toContain('-H &quot;Authorization: $AUTHORIZATION&quot;');
  });

  it('of several APIs are compared', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'conformance-compared-'));
    const reports = await Promise.all(
      [correct, wrong].map(async ({ url }, i) => {
        const { files } = await check({ ...SMALL, name: `API ${i + 1}` }, url, ...REPLAYS);
        const file = join(folder, `${i}.json`);
        await writeFile(file, files['report.json']!);
        return file;
      }),
    );
    const { output } = await program(['--compare', ...reports]);
    await rm(folder, { recursive: true });
    expect(output).toMatch(/^\| API 1 \| 19 \| 0 \| 0 \| 0 \| 0 \|$/m);
    expect(output).toMatch(/^\| `replay\.one-object` \| must \| .* \| yes \| \*\*no\*\* \|$/m);
  });
});

describe('docs/conformance.md', () => {
  it('names only cases that exist', async () => {
    const text = await readFile('docs/conformance.md', 'utf8');
    const { output } = await program(['--list']);
    const named = new Set([...text.matchAll(/`([a-z]+\.[a-z-]+)`/g)].map(([, id]) => id));
    expect(named.size).toBeGreaterThan(5);
    expect([...named].filter((id) => !output.includes(` ${id} `))).toEqual([]);
  });
});

describe('the schema of profiles', () => {
  it('is a JSON Schema that accepts the shipped profiles', async () => {
    const { output } = await program(['--schema']);
    const validate = new ajv.default({ strict: false }).compile(JSON.parse(output) as object);
    expect([validate(SMALL), validate.errors]).toEqual([true, null]);
    expect(validate({ ...SMALL, nmae: 'typo' })).toBe(false);
  });
});

/** Every element has an end tag, and elements are nested correctly. */
function expectWellFormed(markup: string): void {
  const open: string[] = [];
  for (const [tag, end, name = '', empty] of markup.matchAll(/<(\/?)([\w:-]+)[^>]*?(\/?)>/g)) {
    if (tag.startsWith('<?') || empty) continue;
    if (end) expect(open.pop()).toBe(name);
    else open.push(name);
  }
  expect(open).toEqual([]);
}
