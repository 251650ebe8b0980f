import type { ResourceLink } from '../idempotency/errors.js';

/** @param object as the API names it, for example `charge`; its route is the plural. */
export function linkTo(object: string, id: string): ResourceLink {
  return { object, id, url: `/${object}s/${id}` };
}
