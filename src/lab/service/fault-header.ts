import type { Parameter } from '../../http/description/headers.js';
import { oneOfTexts } from '../../http/description/schema.js';
import { DOCUMENTED_PROCESS_FAULTS, NETWORK_FAULTS } from '../fault-names.js';

/** Describes `Lab-Fault` in the OpenAPI document, on a route that writes. */
export function describeFaultHeader(hasThreeBeats: boolean): Parameter {
  const crashes = hasThreeBeats ? ' The others kill the server at that point.' : '';
  return {
    name: 'Lab-Fault',
    in: 'header',
    description: `Breaks this request on purpose: \`lose-request\` before anything runs, \`lose-response\` after everything has committed.${crashes} Only with LAB=1.`,
    schema: oneOfTexts([...NETWORK_FAULTS, ...(hasThreeBeats ? DOCUMENTED_PROCESS_FAULTS : [])]),
  };
}
