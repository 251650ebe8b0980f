// Run by `npm run dev` after each change in src/ and migrations/ (node --watch-path): builds, and then starts what
// `npm start` runs. A syntax error is printed, and the next change starts it again.
import { buildDist } from './build.mjs';

await buildDist();
await import('../dist/src/programs/local.js');
