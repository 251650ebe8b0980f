import { useRef } from 'preact/hooks';
import { MAX_RUN_BYTES } from '../run.js';
import { ask, LabError } from './api.js';

export interface OpenFileProps {
  onOpen: (id: string) => void;
  onError: (error: Error | undefined) => void;
}

/** A run from a file: one that was saved here, or a witness of the proof. */
export function OpenFile({ onOpen, onError }: OpenFileProps) {
  const input = useRef<HTMLInputElement>(null);
  const open = async (file: File) => {
    onError(undefined);
    onOpen((await ask<{ id: string }>('/api/opened', await jsonOf(file))).id);
  };
  return (
    <>
      <button type="button" onClick={() => input.current?.click()}>
        Open a run file
      </button>
      <input
        ref={input}
        type="file"
        accept=".json,application/json"
        aria-label="Run file"
        hidden
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          currentTarget.value = ''; // so that the same file can be chosen again
          if (file) void open(file).catch(onError);
        }}
      />
    </>
  );
}

async function jsonOf(file: File): Promise<unknown> {
  if (file.size > MAX_RUN_BYTES) throw new LabError(`${file.name} is larger than 4 MB.`);
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new LabError(`${file.name} is not JSON.`);
  }
}
