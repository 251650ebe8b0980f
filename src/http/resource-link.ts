import type { ResourceLink } from '../idempotency/errors.js';
import { exactly, path, ref, text } from './description/schema.js';

/** @param object as the API names it, for example `event`; its route is the plural. */
export function linkTo(object: string, id: string): ResourceLink {
  return { object, id, url: `/${object}s/${id}` };
}

export const RESOURCE_LINK = {
  schema: ref('ResourceLink'),
  components: { ResourceLink: exactly({ object: text(), id: text(), url: path }) },
};

/** For a problem that names the object that caused it. */
export function namesResource<Example extends ResourceLink>(example: Example) {
  return { members: { resource: RESOURCE_LINK.schema }, example: { resource: example } };
}
