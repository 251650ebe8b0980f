import { ask, type Catalogue } from './api.js';
import { forgetGoals } from './goals.js';
import { OpenFile } from './open-file.js';

export interface FooterProps {
  links: Catalogue['links'] | undefined;
  /** Shows a run. */
  onOpen: (id: string) => void;
  onError: (error: Error | undefined) => void;
}

export function Footer({ links, onOpen, onError }: FooterProps) {
  const reset = async () => {
    await ask('/api/reset', {});
    forgetGoals();
    location.href = '/';
  };
  return (
    <footer>
      {links && (
        <>
          <a href={links.docs}>API reference</a> <a href={links.processor}>processor’s ledger</a>{' '}
          <a href={links.ledger}>both ledgers</a>
        </>
      )}
      <OpenFile onOpen={onOpen} onError={onError} />
      <button type="button" onClick={() => void reset().catch(onError)}>
        Reset
      </button>
      <span class="quiet">
        All visitors share one API and one worker. A kill or a freeze by another visitor is in your
        diagram, too: “by another run”.
      </span>
    </footer>
  );
}
