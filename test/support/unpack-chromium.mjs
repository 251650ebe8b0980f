// Unpacks the Chromium of @sparticuz/chromium into TMPDIR, with the libraries and the font that a bare Linux lacks. A
// separate program, because the package reads the folder and the platform from the environment.
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import chromium from '@sparticuz/chromium';

chromium.setGraphicsMode = false;
await chromium.executablePath();
// The package's own font configuration looks in /tmp. Without any font, Chromium aborts at the first input element.
await writeFile(
  join(tmpdir(), 'fonts', 'fonts.conf'),
  '<?xml version="1.0"?>\n<fontconfig><dir prefix="relative">fonts</dir></fontconfig>\n',
);
