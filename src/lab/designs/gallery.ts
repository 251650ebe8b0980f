import type { DesignInfo } from '../run.js';
import { anyErrorStored } from './any-error-stored.js';
import { deleteOnError } from './delete-on-error.js';
import type { Design } from './design.js';
import { doneBeforeCall } from './done-before-call.js';
import { keyWithoutAccount } from './key-without-account.js';
import { leaseWithoutEpoch } from './lease-without-epoch.js';
import { lookThenInsert } from './look-then-insert.js';
import { noKey } from './no-key.js';
import { oneTransaction } from './one-transaction.js';
import { ours } from './ours.js';
import { randomProcessorKey } from './random-processor-key.js';
import { recordAfterAnswer } from './record-after-answer.js';
import { stickyClaim } from './sticky-claim.js';
import { stringifiedFingerprint } from './stringified-fingerprint.js';

/** Every design, by the name of its file. Ours is the last. */
export const GALLERY: Readonly<Record<string, Design>> = {
  'no-key': noKey,
  'look-then-insert': lookThenInsert,
  'sticky-claim': stickyClaim,
  'record-after-answer': recordAfterAnswer,
  'delete-on-error': deleteOnError,
  'any-error-stored': anyErrorStored,
  'key-without-account': keyWithoutAccount,
  'stringified-fingerprint': stringifiedFingerprint,
  'one-transaction': oneTransaction,
  'done-before-call': doneBeforeCall,
  'random-processor-key': randomProcessorKey,
  'lease-without-epoch': leaseWithoutEpoch,
  ours,
};

export const DESIGNS: readonly DesignInfo[] = Object.entries(GALLERY).map(
  ([id, { title, idea, incident }]) => ({
    ...{ id, title, idea, incident },
    file: `src/lab/designs/${id}.ts`,
    isOurs: id === 'ours',
  }),
);

/** The schema of a design's tables. */
export function schemaOf(design: string): string {
  return `design_${design.replaceAll('-', '_')}`;
}
