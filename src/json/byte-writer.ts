import { ESCAPE_AT_ONCE, LONGEST_ESCAPE, plainEscaper, type StringEscaper, simdEscaper } from "./string-escapes.ts";

/** Made when it is first needed: most outputs escape nothing. */
let escaper: StringEscaper | undefined;

/**
 * A byte buffer that grows. Reused from batch to batch, so that events are written without a string or an
 * object per event.
 */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(initialBytes = 1 << 16) {
    this.#bytes = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Text that is known to be ASCII. */
  ascii(text: string): void {
    const n = text.length;
    if (this.#length + n > this.#bytes.length) this.#grow(n);
    const bytes = this.#bytes;
    // For a few bytes a call out of JavaScript costs more than the copy.
    if (n < 24) for (let i = 0, at = this.#length; i < n; i++, at++) bytes[at] = text.charCodeAt(i);
    else bytes.write(text, this.#length, "latin1");
    this.#length += n;
  }

  /** Any text, as UTF-8; a lone surrogate becomes U+FFFD. */
  text(text: string): void {
    const most = text.length * 3;
    if (this.#length + most > this.#bytes.length) this.#grow(most);
    this.#length += this.#bytes.write(text, this.#length, "utf8");
  }

  /** All bytes of `source`. */
  bytes(source: Uint8Array): void {
    this.copy(source, 0, source.length);
  }

  copy(source: Uint8Array, from: number, to: number): void {
    const n = to - from;
    if (this.#length + n > this.#bytes.length) this.#grow(n);
    const bytes = this.#bytes;
    if (n < 16) for (let i = from, at = this.#length; i < to; i++, at++) bytes[at] = source[i]!;
    else Buffer.prototype.copy.call(source, bytes, this.#length, from, to);
    this.#length += n;
  }

  /** The bytes as the inside of a JSON string: every fifth one may need a sign before it. */
  insideString(source: Uint8Array): void {
    escaper ??= simdEscaper() ?? plainEscaper();
    for (let from = 0; from < source.length; from += ESCAPE_AT_ONCE) {
      const to = Math.min(source.length, from + ESCAPE_AT_ONCE);
      const most = (to - from) * LONGEST_ESCAPE;
      if (this.#length + most > this.#bytes.length) this.#grow(most);
      this.#length = escaper.escape(source, from, to, this.#bytes, this.#length);
    }
  }

  /** The bytes written so far: a view that is valid until the next write or reset. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives the bytes away and starts anew with other memory: for outputs that keep what they are given. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.#length = 0;
    return taken;
  }

  /** Forgets what was written; with `length`, only what comes after it. */
  reset(length = 0): void {
    this.#length = length;
  }

  toString(): string {
    return this.#bytes.toString("utf8", 0, this.#length);
  }

  #grow(n: number): void {
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + n));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
