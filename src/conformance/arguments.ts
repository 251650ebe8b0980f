import { parseArgs } from 'node:util';
import { GROUPS, type Group } from './check/case.js';

export const HELP = `Usage: npm run conformance -- --url https://api.example.com --profile mine.json

Checks from outside whether the POST of an API is idempotent: what a client sees, and what was made, counted by a GET.
It talks to the named host only, one case after another, within the limits of the profile.

  --profile FILE   what the API is and promises (required); src/conformance/profiles/ has examples
  --url URL        where it is, unless the profile gives it
  --only NAME      a group or a case, repeatable: ${GROUPS.join(', ')}
  --strict         end with 1 on a failed should or a broken promise, too
  --html FILE      a report as one page, for a review
  --junit FILE     a report for CI
  --json FILE      a report for programs
  --markdown FILE  a report as text
  --compare        no run: the JSON reports that follow, side by side, as Markdown
  --list           the cases, without a run
  --schema         the JSON Schema of profiles
  --help           this

Exit code: 0 every must holds, 1 a must failed, 2 the check could not run or not end, 64 usage,
130 or 143 interrupted: Ctrl-C ends the run and writes the reports, a second one ends at once.

It makes real objects: use a test environment. Credentials come from the environment: "\${API_KEY}" in the profile.`;

export interface Arguments {
  action: 'run' | 'help' | 'list' | 'schema' | 'compare';
  profile?: string;
  url?: string;
  only: string[];
  strict: boolean;
  html?: string;
  junit?: string;
  json?: string;
  markdown?: string;
  reports: string[];
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

/** @throws UsageError */
export function argumentsOf(args: string[], caseIds: string[]): Arguments {
  const { values, positionals } = parse(args);
  const { only = [], strict = false, profile, url, html, junit, json, markdown } = values;
  const action = (['help', 'list', 'schema', 'compare'] as const).find((each) => values[each]);
  if (action !== 'compare' && positionals.length > 0)
    throw new UsageError(`${positionals[0]} is not expected here`);
  if (action === undefined && profile === undefined) throw new UsageError('--profile is missing');
  if (action === 'compare' && positionals.length === 0)
    throw new UsageError('--compare needs JSON reports');
  const unknown = only.find((each) => !GROUPS.includes(each as Group) && !caseIds.includes(each));
  if (unknown !== undefined) throw new UsageError(`--only ${unknown}: no such group or case`);
  if (url !== undefined && !isHttpUrl(url))
    throw new UsageError(`--url ${url}: not an http or https URL without credentials and query`);
  const files = { profile, url, html, junit, json, markdown };
  return { action: action ?? 'run', ...files, only, strict, reports: positionals };
}

/** Credentials in a URL would be in every report. */
export function isHttpUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password, search, hash } = new URL(value);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === '';
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...{ profile: text, url: text, only: { ...text, multiple: true as const }, strict: flag },
        ...{ html: text, junit: text, json: text, markdown: text },
        ...{ compare: flag, list: flag, schema: flag, help: flag },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}
