import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Locator, Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A browser whose tabs show the lab. */
export class LabTabs {
  /** Errors and warnings of all tabs' consoles. */
  readonly complaints: string[] = [];

  constructor(
    private readonly browser: Browser,
    private readonly labUrl: string,
  ) {}

  open(): Promise<LabTab> {
    return LabTab.open(this.browser, this.labUrl, this.complaints);
  }

  /** Does the work for each title, in that many tabs at a time. */
  async share(
    count: number,
    titles: string[],
    work: (tab: LabTab, title: string) => Promise<void>,
  ): Promise<void> {
    const waiting = [...titles];
    const one = async () => {
      const tab = await this.open();
      for (let title = waiting.shift(); title !== undefined; title = waiting.shift())
        await work(tab, title);
      await tab.page.context().close();
    };
    await Promise.all(Array.from({ length: count }, one));
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}

/** A tab that shows the lab. The errors and warnings of its console are added to a list. */
export class LabTab {
  private constructor(
    readonly page: Page,
    private readonly labUrl: string,
  ) {}

  static async open(browser: Browser, labUrl: string, complaints: string[]): Promise<LabTab> {
    const context = await browser.newContext({ reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(100_000);
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', ({ message }) => complaints.push(message));
    const tab = new LabTab(page, labUrl);
    await tab.goto('/');
    return tab;
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(this.labUrl + path);
    if (path === '/') await this.page.getByText('Predict first').waitFor();
  }

  button(name: string): Locator {
    return this.page.getByRole('button', { name, exact: true });
  }

  async room(name: string): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Rooms' }).getByText(name).click();
  }

  async chooseFile(name: string, json: string): Promise<void> {
    const file = { name, mimeType: 'application/json', buffer: Buffer.from(json) };
    await this.page.getByLabel('Run file').setInputFiles(file);
  }

  /** Chooses a scenario and runs it. @returns the id of the run, once it is explained */
  async play(title: string): Promise<string> {
    const scenarios = this.page.getByRole('navigation', { name: 'Scenarios' });
    await scenarios.getByRole('button', { name: title, exact: true }).click();
    await this.button('Skip, just run it').click();
    await this.page.locator('.why').waitFor();
    return this.runId();
  }

  async runId(): Promise<string> {
    const href = await this.page.getByRole('link', { name: 'JSON' }).getAttribute('href');
    return /\/runs\/([\w-]+)\.json/.exec(href ?? '')?.[1] ?? '';
  }

  /** Waits until each track shows so many payments in its line below the diagram. */
  async untilShown(payments: Record<string, number>): Promise<void> {
    for (const [track, count] of Object.entries(payments)) {
      await this.page
        .locator(`.track.${track} .reconcile`)
        .getByText(`payments ${count} `)
        .waitFor();
    }
  }

  /** Answers with a matrix of a few cells: the real one takes a minute, and has its own test. */
  async answerMatrix(run: string): Promise<void> {
    const cell = (design: string, correct: boolean, verdict: string, because: string) => ({
      ...{ design, fault: 'lost-answer', correct, verdict, because, payments: 1, run },
    });
    const cells = [
      cell('no-key', false, 'charged twice', 'The customer paid 2 times.'),
      cell('ours', true, 'charged once', 'One payment, and the client knows.'),
    ];
    const items = [
      ...cells.map((data) => ['cell', data]),
      ['end', { state: 'ended', holds: true }],
    ] as const;
    const body = items.map(
      ([event, data], i) =>
        `id: ${i + 1}\nevent: ${event as string}\ndata: ${JSON.stringify(data)}\n\n`,
    );
    await this.page.route('**/api/matrix', (route) => route.fulfill({ json: { id: 'some' } }));
    await this.page.route('**/api/matrix/some/events', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body: body.join('') }),
    );
  }

  /** What axe-core finds serious or critical, as `rule: element`. */
  async barriers(): Promise<string[]> {
    await this.page.evaluate(AXE); // not by a script element, which the page's own policy refuses
    return this.page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: Axe };
      const { violations } = await axe.run({ resultTypes: ['violations'] });
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
    });
  }

  /** The same in dark mode, then in light mode. */
  async barriersInBothColors(): Promise<object[]> {
    const found: object[] = [];
    for (const colorScheme of ['dark', 'light'] as const) {
      await this.page.emulateMedia({ colorScheme });
      for (const barrier of await this.barriers()) found.push({ colorScheme, barrier });
    }
    return found;
  }

  /** Makes the page believe that its tab is hidden, or is shown again. */
  async hide(isHidden: boolean): Promise<void> {
    await this.page.evaluate((value) => {
      const { document } = globalThis as unknown as { document: EventTarget };
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
  }

  /** Holds back the events of runs. @returns a function that lets them through */
  async holdEvents(): Promise<() => void> {
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await this.page.route('**/api/runs/*/events', (route) => held.then(() => route.continue()));
    return release;
  }

  /** Counts the redraws of the diagrams from now on. @returns a function that reads the count */
  async drawings(): Promise<() => Promise<number>> {
    await this.page.evaluate(() => {
      const drawn = { count: 0 };
      Object.assign(globalThis, { drawn });
      const { MutationObserver, document } = globalThis as unknown as BrowserGlobals;
      new MutationObserver((changes) => {
        if (changes.some(({ target }) => target.closest?.('.track'))) drawn.count += 1;
      }).observe(document.body, { childList: true, subtree: true });
    });
    return () =>
      this.page.evaluate(() => (globalThis as unknown as { drawn: { count: number } }).drawn.count);
  }

  /** The overflow: how many pixels the page is wider than the window. */
  async overflow(): Promise<number> {
    return this.page.evaluate(() => {
      const { documentElement, defaultView } = (globalThis as unknown as { document: Screen })
        .document;
      return documentElement.scrollWidth - defaultView.innerWidth;
    });
  }

  /** The widths at which the page is wider than the window, each with the overflow in pixels. */
  async overflows(widths: number[]): Promise<object[]> {
    const found: object[] = [];
    for (const width of widths) {
      await this.page.setViewportSize({ width, height: 900 });
      const overflow = await this.overflow();
      if (overflow > 0) found.push({ width, overflow });
    }
    return found;
  }
}

interface BrowserGlobals {
  document: { body: object };
  MutationObserver: new (
    on: (changes: { target: { closest?: (selector: string) => object | null } }[]) => void,
  ) => { observe(target: object, options: object): void };
}

interface Axe {
  run(options: object): Promise<{
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  }>;
}

interface Screen {
  documentElement: { scrollWidth: number };
  defaultView: { innerWidth: number };
}
