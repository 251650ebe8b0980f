const SHAPES = {
  back: 'M11 2 L3 8 L11 14 z',
  forward: 'M5 2 L13 8 L5 14 z',
  close: 'M3 3 L13 13 M13 3 L3 13',
  done: 'M2 9 L6 13 L14 3',
  open: 'M3 3 H13 V13 H3 z',
} as const;

/** Drawn as a path: without a symbol font, such characters would be empty boxes. */
export function Icon({ name }: { name: keyof typeof SHAPES }) {
  const isFilled = name === 'back' || name === 'forward';
  return (
    <svg class={`icon ${isFilled ? 'filled' : ''}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={SHAPES[name]} />
    </svg>
  );
}
