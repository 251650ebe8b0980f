import { Controller, Get, Header, Param } from '@nestjs/common';
import { KEY_MISUSES } from '../charges/key-misuse.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import { Problem } from '../http/problems/problem.js';
import { Public } from '../http/public.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';
import { PROBLEMS, type ProblemCode } from './problem-catalogue.js';
import { RETRY_MEANS } from './retry-means.js';

/** The pages that the `type` of each problem names. */
@Public()
@Tagged('Operation')
@Controller('problems')
export class ProblemsController {
  @Get()
  @Describe('listProblems', 'Every problem, and what to do about it')
  @Answers(200, 'A page for people.')
  @Header('Content-Type', 'text/html; charset=utf-8')
  index(): string {
    const rows = Object.entries(PROBLEMS).map(
      ([code, { status, title, retry }]) =>
        `<tr><td>${status}</td><td><a href="/problems/${code}"><code>${code}</code></a></td><td>${html(title)}</td><td><code>${retry}</code></td></tr>`,
    );
    const meanings = Object.entries(RETRY_MEANS).map(
      ([retry, text]) => `<dt><code>${retry}</code></dt><dd>${html(text)}</dd>`,
    );
    const misuses = KEY_MISUSES.map(
      ({ mistake, happens, instead }) =>
        `<tr><td>${html(mistake)}</td><td>${html(happens)}</td><td>${html(instead)}</td></tr>`,
    );
    return document(
      'Problems',
      `<p>Every error is <code>application/problem+json</code> (RFC 9457). A program that follows <code>retry</code> never pays twice:</p>
       <dl>${meanings.join('')}</dl>
       <table><thead><tr><th>Status</th><th>Code</th><th>Title</th><th>Retry</th></tr></thead><tbody>${rows.join('')}</tbody></table>
       <h2 id="keys">What happens when a key is used wrongly</h2>
       <table><thead><tr><th>Mistake</th><th>What happens</th><th>Instead</th></tr></thead><tbody>${misuses.join('')}</tbody></table>`,
    );
  }

  /** A separate file, because the Content-Security-Policy of the pages forbids inline styles. */
  @Get('style.css')
  @Describe('getProblemsStyle', 'The style sheet of the problem pages')
  @Answers(200, 'CSS.')
  @Header('Content-Type', 'text/css; charset=utf-8')
  style(): string {
    return STYLE;
  }

  @Get(':code')
  @Describe(
    'getProblem',
    'The page that `type` of a problem names: what happened, why, what to do',
    {
      path: { code: 'The `code` of a problem.' },
    },
  )
  @Answers(200, 'A page for people.')
  @Problems(NOT_FOUND)
  @Header('Content-Type', 'text/html; charset=utf-8')
  page(@Param('code') code: string): string {
    if (!Object.hasOwn(PROBLEMS, code)) {
      throw new Problem(NOT_FOUND, `There is no problem ${code}.`, { retry: 'after_fix' });
    }
    const { status, title, what, why, todo, retry } = PROBLEMS[code as ProblemCode];
    return document(
      title,
      `<p><code>${status}</code> <code>${code}</code> <code>retry: ${retry}</code></p>
       <h2>What happened</h2><p>${html(what)}</p>
       <h2>Why</h2><p>${html(why)}</p>
       <h2>What to do</h2><p>${html(todo)}</p>
       <p>${html(RETRY_MEANS[retry])}</p><p><a href="/problems">All problems</a></p>`,
    );
  }
}

/** Escapes HTML; text between backticks becomes `<code>`. */
function html(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
code { background: #f0f0f0; padding: .1em .3em; border-radius: 3px }
table { border-collapse: collapse }
td, th { text-align: left; padding: .25rem .75rem .25rem 0 }
`;

function document(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${html(title)} – charge-once</title>
<link rel="stylesheet" href="/problems/style.css">
</head><body><h1>${html(title)}</h1>${body}</body></html>`;
}
