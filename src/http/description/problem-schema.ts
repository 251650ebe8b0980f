import type { ProblemType } from '../../idempotency/problem-types.js';
import { HEADERS } from './headers.js';
import { constant, exactly, oneOfTexts, text, type Schema } from './schema.js';

/** One strict schema for each type: http/problems/problem.ts writes the members. */
export function problemSchema(type: ProblemType): Schema {
  const { code, status, title, what, why, todo, retry, retries = [retry] } = type;
  const schema = exactly(
    {
      type: constant(`/problems/${code}`),
      title: constant(title),
      status: { type: 'integer', const: status },
      detail: text('What happened this time, for people.'),
      code: constant(code),
      request_id: {
        ...text(
          'The id of the request in our logs; in a replay, of the request that made the answer.',
        ),
        pattern: HEADERS['Request-Id'].schema.pattern!,
      },
      retry: { ...oneOfTexts(retries), description: 'What the client may do next.' },
      ...type.members,
    },
    `${what} ${why} ${todo}`,
  );
  return { ...schema, properties: { ...schema.properties, ...type.optional } };
}

export function problemExample(type: ProblemType): object {
  const { code, status, title, what, retry, example } = type;
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail: what,
    code,
    request_id: HEADERS['Request-Id'].example,
    retry,
    ...example,
  };
}
