import type { Api } from './api.js';

export const GROUPS = [
  'header',
  'replay',
  'fingerprint',
  'scope',
  'errors',
  'concurrency',
  'loss',
  'expiry',
  'disclosure',
] as const;
export type Group = (typeof GROUPS)[number];

/**
 * `must`: if an API fails, money moves twice or is lost, or another customer's data is shown, whatever it promises.
 * `should`: a specification or common practice requires it.
 * `choice`: good APIs differ, and the profile says what this one promises.
 */
export type Level = 'must' | 'should' | 'choice';

export interface Source {
  name: string;
  url: string;
}

export interface Case {
  id: string;
  group: Group;
  level: Level;
  source: Source;
  /** A fact in the present tense: what a correct API does. */
  title: string;
  /** What a failure costs. */
  costs: string;
  /** Returns if the API behaves correctly. @throws Failed, Skipped, NoAnswer */
  run(api: Api): Promise<void>;
}

type Draft = Omit<Case, 'id' | 'group'>;

/** The cases of one group, by the second part of their ids. */
export function cases(group: Group, drafts: Record<string, Draft>): Case[] {
  return Object.entries(drafts).map(([name, draft]) => ({
    id: `${group}.${name}`,
    group,
    ...draft,
  }));
}

const DRAFT = 'draft-ietf-httpapi-idempotency-key-header-07';

export function draft(section: string): Source {
  const url = `https://datatracker.ietf.org/doc/html/${DRAFT}#section-${section}`;
  return { name: `${DRAFT} §${section}`, url };
}

export function rfc(number: number, section: string): Source {
  const url = `https://www.rfc-editor.org/rfc/rfc${number}#section-${section}`;
  return { name: `RFC ${number} §${section}`, url };
}

export const STRIPE: Source = {
  name: 'Stripe API, Idempotent requests',
  url: 'https://docs.stripe.com/api/idempotent_requests',
};
