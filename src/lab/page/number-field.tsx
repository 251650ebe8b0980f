export interface NumberFieldProps {
  label: string;
  name: string;
  value: number;
  min: number | undefined;
  max: number | undefined;
  /** Gets NaN while the field is empty or half typed. The lab's program refuses that with a reason. */
  onChange: (value: number) => void;
}

/** Keeps each keystroke: the page is drawn again while events arrive, and would reset what only the field knows. */
export function NumberField({ label, value, onChange, ...limits }: NumberFieldProps) {
  return (
    <label>
      {label}{' '}
      <input
        {...limits}
        type="number"
        value={Number.isNaN(value) ? '' : value}
        onInput={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}
