import type { Delivered } from "./delivered.ts";
import { scanObject } from "./json-bytes.ts";
import { eachLine } from "./lines.ts";

/**
 * JSON lines: one event per line. A run that was killed leaves half a line, at the end of the file or glued
 * before the next run's first line.
 */
export async function readJsonLines(
  chunks: AsyncIterable<Uint8Array>,
  each: (event: Delivered) => void,
): Promise<void> {
  await eachLine(chunks, ({ bytes, complete, endOffset }) => {
    let rest = bytes;
    for (let whole = scanObject(rest); whole; whole = scanObject(rest)) {
      each({ kind: "record", bytes: rest.subarray(0, whole.end), endOffset });
      if (isBlank(rest, whole.end)) return;
      // Only the newline was missing: the next run's first line follows.
      rest = rest.subarray(whole.end);
    }
    const restart = restartIn(rest);
    if (restart !== undefined) {
      each({ kind: "torn" });
      each({ kind: "record", bytes: rest.subarray(restart), endOffset });
    } else if (complete)
      each({ kind: "unreadable", say: `not a JSON object: ${Buffer.from(rest.subarray(0, 80)).toString("utf8")}` });
    else each({ kind: "torn" });
  });
}

/** Where, after a half line, a whole object runs to the end of the line. */
function restartIn(bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let tries = 0;
  for (let at = text.indexOf('{"', 1); at !== -1 && tries < 2_000; at = text.indexOf('{"', at + 1), tries++) {
    const tail = bytes.subarray(at);
    const scanned = scanObject(tail);
    if (scanned && isBlank(tail, scanned.end)) return at;
  }
  return undefined;
}

function isBlank(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if ((bytes[at] as number) > 0x20) return false;
  return true;
}
