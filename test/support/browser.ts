import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium, type Browser } from 'playwright-core';

/** A real headless Chromium: an installed one, or else the one of the npm package (Linux on x64). */
export async function startBrowser(): Promise<Browser> {
  const executablePath = installedChromium();
  // Chromium's sandbox does not work as root. All pages are ours.
  const options = { args: ['--no-sandbox'] };
  if (executablePath !== undefined) return chromium.launch({ ...options, executablePath });
  const home = await unpackedChromium();
  const env = {
    ...(process.env as Record<string, string>),
    LD_LIBRARY_PATH: join(home, 'al2023', 'lib'),
    FONTCONFIG_PATH: join(home, 'fonts'),
  };
  return chromium.launch({ ...options, executablePath: join(home, 'chromium'), env });
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const ON_A_MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';

function installedChromium(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...candidates, ON_A_MAC].find((path) => existsSync(path));
}

const CACHE = resolve('node_modules/.cache/charge-once');

/** Unpacked once for each installation. Two test workers may do it in parallel, so unpack beside it, then rename. */
async function unpackedChromium(): Promise<string> {
  const home = join(CACHE, 'chromium');
  if (existsSync(home)) return home;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('These tests need a browser: install Chromium or Google Chrome.');
  }
  await mkdir(CACHE, { recursive: true });
  const aside = await mkdtemp(join(CACHE, 'unpacking-'));
  try {
    await promisify(execFile)(process.execPath, ['test/support/unpack-chromium.mjs'], {
      // AWS_LAMBDA_JS_RUNTIME: the package unpacks its libraries only on what it believes is AWS Lambda.
      env: { ...process.env, TMPDIR: aside, AWS_LAMBDA_JS_RUNTIME: 'nodejs22.x' },
    });
    await rename(aside, home).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // the other worker was first
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return home;
}
