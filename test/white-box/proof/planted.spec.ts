import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { BUGS } from '../../../src/proof/planted/bugs.js';

const PATCHES = BUGS.flatMap(({ name, patches }) => patches.map((patch) => ({ name, ...patch })));

test.each(PATCHES)('$file still has the place of "$name"', ({ file, text }) => {
  expect(readFileSync(file, 'utf8').split(text)).toHaveLength(2);
});
