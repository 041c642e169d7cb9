/** Reads JSON strings out of record bytes. */

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The text of the JSON string whose quotes lie at `from` and `to - 1`; the scanner has checked that it is
 * one.
 */
export function stringAt(bytes: Uint8Array, from: number, to: number, hasEscapes: boolean): string {
  if (!hasEscapes) return plainText(bytes, from + 1, to - 1);
  return JSON.parse(decoder.decode(bytes.subarray(from, to))) as string;
}

/** Bytes that are known to be ASCII, as text. */
export function plainText(bytes: Uint8Array, from: number, to: number): string {
  if (bytes instanceof Buffer) return bytes.toString("latin1", from, to);
  if (to - from > 64) return decoder.decode(bytes.subarray(from, to));
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** Bytes as UTF-8 text. */
export function textAt(bytes: Uint8Array, from: number, to: number): string {
  return decoder.decode(bytes.subarray(from, to));
}
