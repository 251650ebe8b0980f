import type { Case } from '../check/case.js';
import { CONCURRENCY_CASES } from './concurrency.cases.js';
import { DECLINE_CASES } from './declines.cases.js';
import { DISCLOSURE_CASES } from './disclosure.cases.js';
import { ERROR_CASES } from './errors.cases.js';
import { EXPIRY_CASES } from './expiry.cases.js';
import { FINGERPRINT_CASES } from './fingerprint.cases.js';
import { FRAMING_CASES } from './framing.cases.js';
import { HALF_REQUEST_CASES } from './half-requests.cases.js';
import { HEADER_CASES } from './header.cases.js';
import { LOSS_CASES } from './loss.cases.js';
import { ONE_CONNECTION_CASES } from './one-connection.cases.js';
import { REPLAY_CASES } from './replay.cases.js';
import { SCOPE_CASES } from './scope.cases.js';
import { SLOW_CASES } from './slow.cases.js';

/** In the order in which they run. */
export const ALL_CASES: Case[] = [
  ...HEADER_CASES,
  ...REPLAY_CASES,
  ...FRAMING_CASES,
  ...FINGERPRINT_CASES,
  ...SCOPE_CASES,
  ...ERROR_CASES,
  ...DECLINE_CASES,
  ...CONCURRENCY_CASES,
  ...ONE_CONNECTION_CASES,
  ...SLOW_CASES,
  ...LOSS_CASES,
  ...HALF_REQUEST_CASES,
  ...EXPIRY_CASES,
  ...DISCLOSURE_CASES,
];
