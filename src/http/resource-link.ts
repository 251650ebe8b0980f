import type { ResourceLink } from '../idempotency/errors.js';
import { path, ref, text, wireObject } from './description/schema.js';

/** @param object as the API names it, for example `event`; its route is the plural. */
export function linkTo(object: string, id: string): ResourceLink {
  return { object, id, url: `/${object}s/${id}` };
}

export const RESOURCE_LINK = wireObject<ResourceLink>(
  'ResourceLink',
  { object: text(), id: text(), url: path },
  linkTo('charge', 'ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k'),
);

/** Of a problem that names the object in the way. */
export const NAMES_RESOURCE = {
  members: { resource: ref('ResourceLink') },
  example: { resource: linkTo('charge', 'ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k') },
};
