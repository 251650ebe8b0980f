import { execFile } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startBrowser } from '../support/browser.js';
import { until } from '../support/until.js';
import { type Lab, OPENED_RUN, startLab, type StartedLab } from './lab.support.js';
import { type LabTab, LabTabs } from './page.support.js';

let started: StartedLab;
let lab: Lab;
let tabs: LabTabs;
let tab: LabTab;

beforeAll(async () => {
  const starting = startLab();
  const browser = await startBrowser();
  started = await starting;
  ({ lab } = started);
  tabs = new LabTabs(browser, started.stack.labUrl);
  tab = await tabs.open();
});
afterAll(async () => {
  await tabs.close();
  await started.stop();
});
afterEach(() => {
  expect(tabs.complaints.splice(0)).toEqual([]);
});

const SENTENCE = 'Without a key: the customer paid 2 × $19.99. With the key: 1 × $19.99.';

describe('the page of the lab', () => {
  it('shows both lanes and the sentence after one click', async () => {
    await tab.button('Run it').click();
    await tab.page.locator('.hero .sentence').getByText(SENTENCE).waitFor();
    const counts = await tab.page.locator('.hero .count b').allInnerTexts();
    const { naive, keyed } = await lab.ledgerOf(await tab.runId());
    expect([counts, { naive, keyed }]).toEqual([['2', '1'], { naive: 2, keyed: 1 }]);
    expect(await tab.page.locator('.track .lost .cross').count()).toBe(2);
    expect(await tab.page.locator('.track .replay').count()).toBe(1);
  });

  it('plays every scenario by click, and shows what the ledger has', async () => {
    const scenarios = await lab.scenarios();
    const titles = (isWanted: (id: string) => boolean) =>
      scenarios.filter(({ id }) => isWanted(id)).map(({ title }) => title);
    // These kill the API or the worker, so they are played apart from the scenarios that this would break.
    const violent = ['kill', 'worker-killed', 'webhook'];
    // `freeze` takes as long as its process sleeps, so scenarios.spec.ts plays it. This test looks at its controls.
    const quiet = titles((id) => ![...violent, 'freeze'].includes(id));
    expect(quiet).toHaveLength(12);
    const play = async (mine: LabTab, title: string) =>
      mine.untilShown(await lab.ledgerOf(await mine.play(title)));
    await tabs.share(4, quiet, play);
    const killing = titles((id) => violent.includes(id));
    await tabs.share(3, killing, play);
    await tab.button('Frozen past its lease').click();
    const points = await tab.page.getByLabel('It freezes at').locator('option').allInnerTexts();
    expect(points).toEqual([
      'after-reserve: record and charge are committed',
      'before-perform: just before the call to the processor',
      'after-perform: the processor has charged',
    ]);
  });

  it('breaks a scenario at the arrow that the user clicks', async () => {
    await tab.play('The lost answer');
    await tab.page.locator('.track.keyed .event.request .label').first().click();
    const details = tab.page.getByRole('region', { name: 'Details of the selected event' });
    expect(await details.innerText()).toMatch(/POST \/charges[^]*Copy as curl/);
    await details.getByRole('button', { name: 'Send it twice' }).click();
    await tab.page.getByRole('heading', { name: 'Break it where you point' }).waitFor();
    await tab.page.locator('.why').waitFor();
    await tab.untilShown(await lab.ledgerOf(await tab.runId()));
  });

  it('opens a run file, shows its text as text, and reports a file that is not JSON', async () => {
    const opened = await tabs.open();
    const { page } = opened;
    await opened.chooseFile('photo.json', 'not JSON');
    await page.getByRole('alert').getByText('photo.json is not JSON').waitFor();
    const { title, events } = OPENED_RUN;
    await opened.chooseFile('witness.json', JSON.stringify(OPENED_RUN));
    await page.getByRole('heading', { name: title }).waitFor();
    await page.locator('.event.violation .label').getByText(events[0]!.text).waitFor();
    expect(await page.locator('img').count()).toBe(0);
    await page.reload(); // its link also shows it to others
    await page.getByRole('heading', { name: title }).waitFor();
    await page.locator('.verdict.bad').getByText('2 payments').waitFor();
  });

  it('works without a mouse', async () => {
    const { page } = await tabs.open();
    const visible = (name: string) => page.getByRole('heading', { name }).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.why').waitFor();
    const selected = () => page.locator('.event.selected').getAttribute('data-seq');
    await page.keyboard.press('j');
    const first = Number(await selected());
    await page.keyboard.press('j');
    await until(async () => Number(await selected()) > first);
    await page.keyboard.press('k');
    await until(async () => Number(await selected()) === first);
    await page.keyboard.press('Escape');
    await page.locator('.details').waitFor({ state: 'detached' });
    const time = page.getByLabel('Time', { exact: true });
    const last = Number(await time.inputValue());
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    await until(async () => Number(await time.inputValue()) === last - 2);
    await page.keyboard.press('ArrowRight');
    await until(async () => Number(await time.inputValue()) === last - 1);
    await page.keyboard.press(' ');
    await until(async () => Number(await time.inputValue()) === last); // it has played the last event
    await page.keyboard.press('?');
    await visible('Keys');
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    for (const [key, heading] of Object.entries(ROOMS)) {
      await page.keyboard.press(key);
      await visible(heading);
    }
  });

  it('runs by Enter what was chosen, and shows it again after a reload', async () => {
    const { page } = await tabs.open();
    const scenarios = page.getByRole('navigation', { name: 'Scenarios' });
    await scenarios.getByRole('button', { name: 'Double click', exact: true }).click();
    await page.getByLabel('Requests at once').fill('3');
    await page.getByRole('heading', { name: 'Double click' }).click(); // leaves the field
    await page.keyboard.press('Enter');
    await page.locator('.why').getByText('With the key: 1 × $19.99').waitFor();
    const shown = () => page.locator('.histogram').innerText();
    expect(await shown()).toMatch(/201\s*3[^]*ledger: 3[^]*201, replayed\s*2[^]*ledger: 1/);
    await page.reload();
    await page.locator('.why').getByText('With the key: 1 × $19.99').waitFor();
    expect(await page.getByLabel('Requests at once').inputValue()).toBe('3');
  });

  it('fills the matrix as the cells arrive, and opens one', async () => {
    const run = await lab.begin('another-body');
    await lab.ended(run);
    await tab.answerMatrix(run);
    await tab.room('gallery');
    await tab.button('Run them all').click();
    const cell = tab.button('charged twice, wrong. The customer paid 2 times.');
    await cell.waitFor();
    expect(await tab.page.locator('.matrix tbody tr').count()).toBe(13);
    expect(await tab.page.locator('.matrix td').count()).toBe(13 * 11);
    await tab.page.locator('.matrix').getByRole('button', { name: 'No key' }).click();
    await tab.page.getByText('export const').waitFor(); // the source of its design
    await cell.click();
    await until(async () => (await tab.runId()) === run);
    await tab.room('gallery');
    expect(await cell.count()).toBe(1); // it is still there
  });

  it('lights up when the user’s own client sends its request', async () => {
    await tab.room('own client');
    await tab.button('Make a curl').click();
    const curl = await tab.page.locator('.own pre').innerText();
    await tab.page.getByText('Waiting for your request').waitFor();
    await tab.hide(true); // a hidden tab does not hold a connection, and misses nothing
    await new Promise((done) => execFile('sh', ['-c', curl], done));
    await tab.hide(false);
    await tab.page.locator('.own .lit').getByText('1 request').waitFor();
    await tab.page.locator('.track .event.request .label').first().click();
    const details = tab.page.getByRole('region', { name: 'Details of the selected event' });
    await details.getByText('{"amount":1999,"currency":"usd"').waitFor(); // with its body
    await details.getByRole('button', { name: 'Copy as curl' }).waitFor();
  });

  it('keeps what the user types while a run is drawn', async () => {
    const release = await tab.holdEvents();
    await tab.room('story');
    await tab.button('Double click').click();
    await tab.button('Skip, just run it').click();
    await tab.page.getByRole('link', { name: 'JSON' }).waitFor(); // it runs, and nothing is drawn yet
    const clicks = tab.page.getByLabel('Requests at once');
    await clicks.fill('14');
    release();
    await tab.page.locator('.why').getByText('With the key: 1 × $19.99').waitFor();
    expect(await clicks.inputValue()).toBe('14');
  });

  it('draws 200 events that arrive together in a few steps, not one by one', async () => {
    const release = await tab.holdEvents();
    await tab.button('Double click').click();
    await tab.page.getByLabel('Requests at once').fill('14');
    await tab.button('Skip, just run it').click();
    await tab.page.getByText('Running …').waitFor();
    const { events } = await lab.ended(await tab.runId());
    const drawn = await tab.drawings();
    release();
    await tab.page.locator('.why').waitFor();
    expect(events.length).toBeGreaterThan(150);
    expect(await drawn()).toBeLessThan(events.length / 3);
  });

  it('counts purchases and payments of a storm', async () => {
    await tab.room('storm');
    await tab.page.getByLabel('seed').fill('7');
    await tab.page.getByLabel('purchases').fill('4');
    await tab.button('Begin').click();
    await tab.page.locator('.storm .sentence').getByText('4').waitFor();
    const keyed = tab.page.locator('.storm .lane').nth(1);
    expect(await keyed.innerText()).toMatch(/4\s*payments\s*for 4 purchases/);
    await tab.button('Open one double charge as a diagram').click();
    await tab.page
      .getByText(/^Without a key: paid [23] times. With the key: paid 1 time.$/)
      .waitFor();
    expect(await tab.page.locator('.track .event').count()).toBeGreaterThan(0);
  });

  it('shares a run as a link, and exports it in four formats', async () => {
    const { id } = await lab.lostAnswer();
    await tab.goto(`/runs/${id}`);
    await tab.page.locator('.hero .sentence').getByText(SENTENCE).waitFor();
    await tab.goto(`/runs/${id}.svg`);
    await tab.page.locator('svg .sentence-text').getByText(SENTENCE).waitFor();
    await tab.goto(`/runs/${id}.html`);
    await tab.page.getByRole('heading', { name: 'Transcript' }).waitFor();
    expect(await tab.overflow()).toBeLessThanOrEqual(0); // its style sheet is loaded
    const json = await (await lab.fetch(`/runs/${id}.json`)).json();
    expect(json).toMatchObject({ id, verdict: { sentence: SENTENCE } });
    const mermaid = await (await lab.fetch(`/runs/${id}.mmd`)).text();
    expect(mermaid).toMatch(/^sequenceDiagram\n/);
  });

  it('has no serious accessibility barrier, dark or light, and fits from 390 to 1920 pixels', async () => {
    await tab.goto('/');
    await tab.play('The lost answer');
    await tab.page.locator('.track.keyed .event .label').first().click();
    const found: unknown[] = [];
    for (const room of ['story', 'gallery', 'storm', 'goals']) {
      await tab.room(room);
      for (const barrier of await tab.barriersInBothColors()) found.push({ room, barrier });
      for (const overflow of await tab.overflows([390, 1280, 1920])) found.push({ room, overflow });
    }
    expect(found).toEqual([]);
  });
});

const ROOMS = {
  2: 'The gallery of wrong designs',
  3: 'Storm',
  4: 'Your own client',
  5: 'Goals',
  1: 'The charge went through.',
};
