import type { Case } from '../check/case.js';
import { CONCURRENCY_CASES } from './concurrency.cases.js';
import { DISCLOSURE_CASES } from './disclosure.cases.js';
import { ERROR_CASES } from './errors.cases.js';
import { EXPIRY_CASES } from './expiry.cases.js';
import { FINGERPRINT_CASES } from './fingerprint.cases.js';
import { HEADER_CASES } from './header.cases.js';
import { LOSS_CASES } from './loss.cases.js';
import { REPLAY_CASES } from './replay.cases.js';
import { SCOPE_CASES } from './scope.cases.js';

/** In the order in which they run. */
export const ALL_CASES: Case[] = [
  ...HEADER_CASES,
  ...REPLAY_CASES,
  ...FINGERPRINT_CASES,
  ...SCOPE_CASES,
  ...ERROR_CASES,
  ...CONCURRENCY_CASES,
  ...LOSS_CASES,
  ...EXPIRY_CASES,
  ...DISCLOSURE_CASES,
];
