import { CEF_KEYS } from "./cef-dictionary.ts";
import { CEF_LINE_MAX_BYTES } from "./cef-line.ts";

const BLANK = 0x20;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const LAST_PRINTABLE = 0x7e;

/** The longest text that `printable` and `text` take: what any key may hold. */
const TEXT_MAX = Math.max(...Object.values(CEF_KEYS).map(({ max }) => max));

/**
 * One line as bytes. Most values are short ASCII: they are checked, escaped and copied in one pass, which
 * takes less time than a pattern, a joined text and a call out of JavaScript for each of them.
 */
export class CefBytes {
  /** With room for one more text, of three bytes a character, in a line that is not yet too long. */
  readonly bytes = Buffer.allocUnsafeSlow(CEF_LINE_MAX_BYTES + 4 * TEXT_MAX);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get isTooLong(): boolean {
    return this.#length > CEF_LINE_MAX_BYTES;
  }

  reset(): void {
    this.#length = 0;
  }

  /** Forgets what was written after that length. */
  back(length: number): void {
    this.#length = length;
  }

  /** ASCII that needs no escape. */
  ascii(text: string): void {
    const { bytes } = this;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.#length = at;
  }

  /** Any text, as it is. */
  text(text: string): void {
    this.#length += this.bytes.write(text, this.#length, "utf8");
  }

  /**
   * Printable ASCII without a blank at its ends, escaped as a value of the extension. False for other text,
   * of which nothing is written.
   */
  printable(value: string): boolean {
    const n = value.length;
    if (n === 0 || n > TEXT_MAX || value.charCodeAt(0) === BLANK || value.charCodeAt(n - 1) === BLANK) return false;
    const { bytes } = this;
    let at = this.#length;
    for (let i = 0; i < n; i++) {
      const code = value.charCodeAt(i);
      if (code < BLANK || code > LAST_PRINTABLE) return false;
      if (code === BACKSLASH || code === EQUALS) bytes[at++] = BACKSLASH;
      bytes[at++] = code;
    }
    this.#length = at;
    return true;
  }
}
