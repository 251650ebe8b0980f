import { ask, type Catalogue } from './api.js';
import { forgetGoals } from './goals.js';

export interface FooterProps {
  links: Catalogue['links'] | undefined;
  onError: (error: Error) => void;
}

export function Footer({ links, onError }: FooterProps) {
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
