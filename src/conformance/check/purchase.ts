import type { Account, Body } from '../profile/profile.js';

/** Something that a customer wants once: a key, and a body with a reference by which its objects are counted. */
export interface Purchase {
  /** The value of the header. */
  key: string;
  reference: string;
  account: Account;
  body: Body;
}
