/** How a file was saved. */
export type FileEncoding = "utf-8" | "utf-16le" | "utf-16be";

/**
 * Decides by the byte order mark. Without one, a zero byte in one of the first two shows UTF-16, because no
 * file of settings begins with a zero character. Notepad's "Unicode" and PowerShell's `>` write UTF-16.
 */
export function encodingOf(bytes: Uint8Array): FileEncoding {
  const [first, second] = bytes;
  if (first === 0xfe && second === 0xff) return "utf-16be";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (second === undefined || (first === 0) === (second === 0)) return "utf-8";
  return first === 0 ? "utf-16be" : "utf-16le";
}

/** The text of a file that a person wrote, without its byte order mark. */
export function decodedText(bytes: Uint8Array): string {
  const encoding = encodingOf(bytes);
  const whole = Buffer.alloc(encoding === "utf-8" ? bytes.length : bytes.length + (bytes.length % 2));
  whole.set(bytes);
  const text = encoding === "utf-8" ? whole.toString("utf8") : utf16(whole, encoding);
  return text.replace(/^\uFEFF/, "");
}

function utf16(evenBytes: Buffer, encoding: "utf-16le" | "utf-16be"): string {
  return (encoding === "utf-16be" ? evenBytes.swap16() : evenBytes).toString("utf16le");
}
