// What `npm run dev` runs, again after each change in src/ and migrations/ (node --watch-path): a build, and what
// `npm start` runs. A fault that the compiler finds is printed, and the next change starts it again.
import { buildDist } from './build.mjs';

await buildDist();
await import('../dist/src/programs/local.js');
