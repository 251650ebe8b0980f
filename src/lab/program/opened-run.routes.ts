import { createHash } from 'node:crypto';
import express, { type Express } from 'express';
import { MAX_RUN_BYTES } from '../run.js';
import { RefusedParameter } from './parameters.js';
import { readRun } from './run-reader.js';
import type { Runs } from './runs.js';
import { MalformedJson } from './shape.js';
import { refuseForms } from './origin.js';

/** Opens a run file: one that the lab exported, or a witness of the proof. */
export function openedRunRoutes(app: Express, runs: Runs): void {
  const body = express.json({ limit: MAX_RUN_BYTES, type: 'application/json' });
  app.post('/api/opened', refuseForms, body, (request, response) => {
    const run = runOf(request.body);
    const hash = createHash('sha256').update(JSON.stringify(run)).digest('hex');
    run.id = `o${hash.slice(0, 16)}`; // the same file has the same link; no file can replace a run of the lab
    runs.keep(run);
    response.status(201).location(`/api/runs/${run.id}`).json({ id: run.id });
  });
}

function runOf(json: unknown) {
  try {
    return readRun(json);
  } catch (error) {
    if (!(error instanceof MalformedJson)) throw error;
    throw new RefusedParameter(`This is no run of the lab: ${error.message}.`);
  }
}
