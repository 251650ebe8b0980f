/** The API does not behave as the case requires. */
export class Failed extends Error {
  override readonly name = 'Failed';
}

/** The profile lacks something that the case needs. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}
