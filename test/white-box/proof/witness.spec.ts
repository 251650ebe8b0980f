import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readRun } from '../../../src/lab/program/run-reader.js';
import type { Run } from '../../../src/lab/run.js';
import { check } from '../../../src/proof/checker/check.js';
import { digest } from '../../../src/proof/checker/digest.js';
import { reportPage } from '../../../src/proof/report/page.js';
import { reportOf } from '../../../src/proof/report/report.js';
import { witnessRun } from '../../../src/proof/report/witness-run.js';
import { built } from '../../support/build.js';
import { ILLEGAL_BOUNDARIES } from './boundary-histories.js';
import { ILLEGAL_CONSEQUENCES } from './consequence-histories.js';
import { ILLEGAL } from './illegal-histories.js';
import { ILLEGAL_OBJECTS } from './object-histories.js';
import { story, type Story } from './story.js';
import { ILLEGAL_UNSEEN } from './unseen-histories.js';

// Hand-written illegal histories as diagrams: by the lab's own reader of files, and its own renderer.

let svgOf: (run: Run, css: string) => string;
beforeAll(async () => {
  ({ svgOf } = await import(pathToFileURL(built('src/lab/page/export.js')).href));
});

function witnessesOf(of: Story) {
  const journals = of.journals();
  const known = digest(journals);
  return check(journals).map((violation, i) => ({
    violation,
    run: witnessRun(known, violation, `w${i}`),
  }));
}

function firstOf(of: Story): Run {
  const [first] = witnessesOf(of);
  return first!.run;
}

/** The characters that XML 1.0, section 2.2, forbids. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

const texts = ({ events }: Run) => events.map(({ text }) => text);
const ofKind = ({ events }: Run, kind: string) => events.filter((each) => each.kind === kind);

const plain = (svg: string) =>
  svg.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&');

describe('the witness of a violation', () => {
  it.each([
    ...ILLEGAL,
    ...ILLEGAL_BOUNDARIES,
    ...ILLEGAL_OBJECTS,
    ...ILLEGAL_CONSEQUENCES,
    ...ILLEGAL_UNSEEN,
  ])('%s, %s: the lab opens it, and the drawing names the violation', (rule, _, of) => {
    for (const { violation, run } of witnessesOf(of)) {
      const opened = readRun(JSON.parse(JSON.stringify(run)));
      expect(opened).toEqual(run);
      const svg = plain(svgOf(opened, ''));
      expect(svg).toContain(`Violation of “${rule}”`);
      expect(svg).toContain(violation.says);
    }
  });

  it('has what the client sent and got, the rows, the payment and what is wrong', () => {
    const run = firstOf(story().ask().lost(1).ask().ok(2).paid().payment().mail());
    expect(texts(run)).toEqual([
      'body A: A',
      '#1 POST /charges, key k, body A',
      'record of k is written',
      '#1 no answer: the client cannot know',
      '#2 POST /charges, key k, body A',
      '#2 201, answer 1',
      'record of k is completed: 201',
      'in the journals at the end, without times:',
      'charge ch_k: succeeded, 10',
      'payment pi_1: succeeded, 10',
      'payment pi_2: succeeded, 10',
      'event charge.succeeded, evt_1',
      'receipt m1',
      'Violation of “one payment for a key”',
      '2 payments: pi_1, pi_2',
    ]);
    expect(run.knowledge.map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, 'unknown'],
      [2, 'ok'],
    ]);
    expect(run.rows[0]!.reconciled).toMatchObject({ charges: 1, payments: 2, paidMinor: 20 });
  });

  it('draws the faults that overlapped as bars on their lines, and no others', () => {
    const run = firstOf(
      story().fault(10).ask().fault(1_000).lost(1).paid().payment().faultWithoutEnd(),
    );
    expect(ofKind(run, 'fault').map(({ from, text }) => [from, text])).toEqual([
      ['api', 'fault begins: api × kill'],
      ['api', 'fault ends: api × kill'],
    ]);
    expect(svgOf(run, '').match(/fault-bar/g)).toHaveLength(1);
  });

  it('keeps what the violation names of a key with hundreds of requests, and says how many are left out', () => {
    const of = story();
    for (let n = 1; n <= 300; n++) of.ask().lost(n);
    const run = firstOf(of.ask().ok(301).ask().ok(302, 'other').ask().lost(303).paid());
    const shown = ofKind(run, 'request');
    expect(shown).toHaveLength(3); // no answer, the first answer, another answer
    expect(texts(run)).toContain('#301 201, answer 1');
    expect(texts(run)).toContain('#302 201, answer 2');
    const counts = texts(run).flatMap(
      (text) => /^(\d+) requests? (?:is|are) left out$/.exec(text)?.[1] ?? [],
    );
    expect(counts.reduce((sum, each) => sum + Number(each), 0)).toBe(303 - 3);
    expect(run.events.length).toBeLessThan(40);
  });

  it('draws an object that only the sentence names, with what clients read of it', () => {
    const of = story().ask().ok(1).paid().read('ch_k', 'succeeded').read('ch_k', 'pending');
    const run = witnessesOf(of).find(
      ({ violation }) => violation.rule === 'final states stay',
    )!.run;
    expect(texts(run)).toContain('GET ch_k by a: 200 succeeded');
    expect(texts(run)).toContain('GET ch_k by a: 200 pending');
  });

  it('draws the object of a violation that has no key: here the stock', () => {
    const run = firstOf(story().product(-1, 0));
    expect(run.title).toMatch(/^Violation of “stock agrees”: s: on hand -1, held 0/);
    expect(texts(run)).toContain('stock of s of a: 10 at first, -1 on hand, 0 held');
    expect(run.rows[0]!.tables.map(({ name }) => name)).toEqual(['stock']);
  });

  it('shows text of a journal as text', () => {
    const attack = '<script>alert(1)</script>\u001B\u0000\uD800';
    const run = firstOf(story().ask({ body: attack }).ok(1, attack).ask().ok(2).paid());
    const svg = svgOf(readRun(run), '');
    expect(svg).toContain('&lt;script>');
    expect(svg).not.toContain('<script');
    expect(svg).not.toMatch(NOT_XML);
  });
});

describe('npm run proof -- --check', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'witness-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('writes run files, pictures and a page of violations beside the journals', async () => {
    const journals = story().ask().ok(1).paid().payment().product(-1, 0).journals();
    await writeFile(join(folder, 'journals.json'), JSON.stringify(journals));
    const [code, output] = await checkIn(folder);
    expect([code, output]).toEqual([1, expect.stringContaining('2 violations')]);
    const names = ['1-one-payment-for-a-key', '2-stock-agrees'].flatMap((name) => [
      `${name}.json`,
      `${name}.svg`,
    ]);
    const all = [...names, 'index.html'];
    expect((await readdir(join(folder, 'witnesses'))).sort()).toEqual(all);
    const [json, svg, , , page] = await Promise.all(
      all.map((name) => readFile(join(folder, 'witnesses', name), 'utf8')),
    );
    expect(readRun(JSON.parse(json!)).verdict?.sentence).toBe('2 payments: pi_1, pi_2');
    expect(svg).toMatch(/^<svg xmlns=[^]*Violation of “one payment for a key”/);
    expect(page).toMatch(/<h3>one payment for a key<[^]*<img [^]*#1 invoke[^]*<h3>stock agrees</);
  });
});

function checkIn(folder: string): Promise<[code: unknown, output: string]> {
  const program = built('src/programs/proof.js');
  return new Promise((done) =>
    execFile(process.execPath, [program, '--check', folder], (error, stdout) =>
      done([error?.code ?? 0, stdout]),
    ),
  );
}

describe('the report', () => {
  it('shows the picture of a violation beside its text, as an image, in which nothing runs', () => {
    const journals = story().ask().ok(1).paid().payment().journals();
    const violations = check(journals);
    const drawings = [{ file: 'witnesses/1.json', svg: '<svg/>' }];
    const result = { violations, drawings, journals, hits: [], missed: [], seconds: 1 };
    const page = reportPage(reportOf(result, { seed: 1, minutes: 1 }), drawings);
    const data = Buffer.from('<svg/>').toString('base64');
    expect(page).toContain(`<img src="data:image/svg+xml;base64,${data}"`);
    expect(page).toContain('npm run lab -- open …/witnesses/1.json');
    expect(reportPage(reportOf(result, { seed: 1, minutes: 1 }), [])).not.toContain('<img');
  });
});
