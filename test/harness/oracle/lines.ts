/**
 * Lines of a byte stream. `complete` is false only for a last line without its newline. The bytes are a view,
 * valid until the next line is asked for.
 */
export interface Line {
  readonly bytes: Uint8Array;
  readonly complete: boolean;
  /** Bytes of the stream up to and including this line's newline. */
  readonly endOffset: number;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Calls `each` for every line that is not blank. */
export async function eachLine(chunks: AsyncIterable<Uint8Array>, each: (line: Line) => void): Promise<void> {
  let carried: Uint8Array[] = [];
  let offset = 0;
  const tell = (bytes: Uint8Array, complete: boolean): void => {
    const line = bytes.at(-1) === RETURN ? bytes.subarray(0, -1) : bytes;
    if (line.some((byte) => byte !== 0x20 && byte !== 0x09)) each({ bytes: line, complete, endOffset: offset });
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE, from); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      const piece = chunk.subarray(from, at);
      offset += piece.length + 1;
      if (carried.length > 0) {
        carried.push(piece);
        const whole = Buffer.concat(carried);
        carried = [];
        tell(whole, true);
      } else tell(piece, true);
      from = at + 1;
    }
    if (from < chunk.length) {
      // The chunk's memory may be reused by its reader.
      carried.push(Buffer.from(chunk.subarray(from)));
      offset += chunk.length - from;
    }
  }
  if (carried.length > 0) tell(Buffer.concat(carried), false);
}
