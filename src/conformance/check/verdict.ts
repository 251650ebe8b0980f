/** The API does not do what the case says. */
export class Failed extends Error {
  override readonly name = 'Failed';
}

/** The case needs something that the profile does not give. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}
