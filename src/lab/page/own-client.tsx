import { useEffect, useState } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask } from './api.js';
import { Copy } from './details.js';

interface Own {
  id: string;
  key: string;
  curl: string;
}

/** A curl command with a new key. The page shows what a terminal or Postman sends with it. */
export function OwnClient({
  run,
  onOpen,
  onError,
}: {
  run: Run | undefined;
  onOpen: (id: string) => void;
  onError: (error: Error) => void;
}) {
  const [own, setOwn] = useState<Own | undefined>();
  const [armed, setArmed] = useState('');
  const begin = async () => {
    const made = await ask<Own>('/api/own-client', {});
    setOwn(made);
    setArmed('');
    onOpen(made.id);
  };
  const arm = async (fault: string) => {
    await ask(`/api/runs/${own?.id}/arm`, { fault });
    setArmed(fault);
  };
  const requests =
    run?.id === own?.id ? (run?.events.filter(({ kind }) => kind === 'request').length ?? 0) : 0;
  useEffect(() => setArmed(''), [requests]); // the request that has arrived used the armed fault
  return (
    <section class="own" aria-labelledby="own-title">
      <h2 id="own-title">Your own client</h2>
      <p>Send this from a terminal or from Postman. What you send appears below, live.</p>
      <p>
        <button type="button" class="go" onClick={() => void begin().catch(onError)}>
          {own ? 'A fresh key' : 'Make a curl'}
        </button>
      </p>
      {own && (
        <>
          <pre tabIndex={0}>{own.curl}</pre>
          <p class="own-tools">
            <Copy text={own.curl} label="Copy" />
            {['lose-response', 'lose-request', 'crash-after-processor'].map((fault) => (
              <button
                type="button"
                key={fault}
                aria-pressed={armed === fault}
                onClick={() => void arm(fault).catch(onError)}
              >
                {fault === 'lose-response'
                  ? 'Lose the next answer'
                  : fault === 'lose-request'
                    ? 'Lose the next request'
                    : 'Kill the API in the next one'}
              </button>
            ))}
          </p>
          <p class={requests > 0 ? 'lit' : 'quiet'} role="status">
            {requests > 0
              ? `${requests} request${requests > 1 ? 's have' : ' has'} arrived.`
              : 'Waiting for your request …'}
          </p>
        </>
      )}
    </section>
  );
}
