/** What an API is and what it promises. `profile.schema.ts` has the same for machines, with all defaults. */
export interface Profile {
  name: string;
  /** Used unless `--url` is given. */
  url?: string;
  keyHeader: string;
  /** Sent with every request. */
  headers: Record<string, string>;
  accounts: Account[];
  create: CreateOperation;
  /** Another operation that takes keys, for the cases on the scope of a key. */
  other?: OtherOperation;
  count: Count;
  promises: Promises;
  timing: Timing;
  limits: Limits;
}

export interface Account {
  name: string;
  /** The credentials; masked in every report. */
  headers: Record<string, string>;
}

/** JSON members, or the fields of a form. `{{reference}}` in a string becomes a name that no other request has. */
export type Body = Record<string, unknown>;

export interface OtherOperation {
  method: string;
  path: string;
  body: Body;
}

export interface CreateOperation extends OtherOperation {
  encoding: 'json' | 'form';
  /** The status of the first response. */
  status: number;
  /** JSON path to the object's id in a response. */
  id: string;
  /** JSON merge patches (RFC 7396) of the body that give another valid body. */
  changes: {
    value: Body;
    text?: Body;
    added?: Body;
    removed?: Body;
    nested?: Body;
    order?: Body;
  };
  /** A merge patch that makes the API refuse the body. */
  invalid?: Body;
  /** A merge patch for a body that is valid and ends in a final refusal, such as a declined card. */
  declined?: Body;
  /** A merge patch for a body whose first attempt ends in a 5xx, even if its work may be done. */
  breaksOff?: Body;
  /** A merge patch for a body that keeps the API busy for a second or more. */
  slow?: Body;
  /** Headers that make the API do the work and then lose its own response. */
  loseAnswer?: Record<string, string>;
}

/** A GET that shows how many objects exist. */
export interface Count {
  path: string;
  /** JSON path to the list of the newest objects, at least 50. */
  items?: string;
  /** JSON path inside an item to the place that holds the reference. */
  reference?: string;
  /** JSON path to a number that counts the objects of all accounts. The check then needs the API for itself. */
  number?: string;
}

export interface Promises {
  onMissingKey: 'refuse' | 'accept';
  /** `bare`: the header's value is the key. `string`: it is a structured-field string. `both`: they are one key. */
  keySyntax: 'bare' | 'string' | 'both';
  keyMaxLength?: number;
  onConcurrent: 'wait' | '409';
  onMismatch: 422 | 409 | 400 | 417 | 'replay';
  sameBody: 'json-value' | 'bytes';
  onOtherOperation: 'refuse' | 'independent';
  storesValidationErrors: boolean;
  storesDeclines: boolean;
  storesServerErrors: boolean;
  /** The response header that marks a replay. */
  replayHeader?: { name: string; value: string };
  /** Response headers that a replay repeats. */
  repeatedHeaders: string[];
  errorFormat: 'problem+json' | 'any';
  /** The lifetime of a key. Set it only if a check can wait that long. */
  expirySeconds?: number;
  onExpired: 'new' | 'refuse';
}

export interface Timing {
  /** How long one response may take. */
  requestSeconds: number;
  /** How long a retry may be answered with "in progress" or 5xx before there is an answer. */
  recoverySeconds: number;
  /** The pause before a late replay. */
  laterSeconds: number;
  /** The pause between the last response and the counting of objects. */
  settleMs: number;
}

export interface Limits {
  maxRequests: number;
  maxConcurrency: number;
  requestsPerSecond: number;
}
