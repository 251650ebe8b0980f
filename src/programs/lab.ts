import { startLab } from '../lab/program/start.js';
import { labSettings } from '../lab/program/settings.js';
import { run } from './run-program.js';

/** The lab's own program: it lives on when it kills the API. */
await run((config) => startLab(labSettings(config)));
