/**
 * A secret that cannot be printed: no enumerable state, and every way a value usually becomes text (template,
 * JSON, inspect) yields `[sealed]`. It is opened only where it is used.
 */
export class Sealed {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** Passes the secret to `use` and returns its result. */
  open<T>(use: (value: string) => T): T {
    return use(this.#value);
  }

  get length(): number {
    return this.#value.length;
  }

  toString(): string {
    return "[sealed]";
  }

  toJSON(): string {
    return "[sealed]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[sealed]";
  }
}

/** Whether both hold the same. Any other comparison finds all of them equal. */
export function isSameSecret(a: Sealed | undefined, b: Sealed | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.open((left) => b.open((right) => left === right));
}

export function sealed(value: string): Sealed {
  return new Sealed(value);
}
