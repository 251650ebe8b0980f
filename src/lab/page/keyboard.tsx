import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

export const KEYS: readonly [string, string][] = [
  ['Enter', 'run the scenario'],
  ['j / k', 'next / previous event'],
  ['← / →', 'step back / forward'],
  ['Space', 'play or pause'],
  ['Esc', 'close the details'],
  ['1 … 5', 'story, gallery, storm, your own client, goals'],
  ['?', 'this list'],
];

/** Keys for the whole page. Keys that are typed into a field are ignored. */
export function useKeys(actions: Readonly<Record<string, () => void>>): void {
  // Not `useEffect`, which waits for the next frame: a second press in the same frame would act on the old state.
  useLayoutEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const { tagName } = event.target as HTMLElement;
      const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(tagName);
      const isPressing = /^(BUTTON|A|SUMMARY)$/.test(tagName) && /^( |Enter)$/.test(event.key);
      const isModal = document.querySelector('dialog[open]') !== null; // Escape closes it
      if (isModal || isTyping || isPressing || event.ctrlKey || event.metaKey || event.altKey)
        return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    document.addEventListener('keydown', listen);
    return () => document.removeEventListener('keydown', listen);
  });
}

export function KeyList({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl>
        {KEYS.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button>Close</button>
      </form>
    </dialog>
  );
}
