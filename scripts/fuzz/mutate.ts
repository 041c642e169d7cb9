/** Small changes to answers that make most of them wrong in an interesting way. */

/** Even in [0, 1), repeatable: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const WORDS = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "-",
  "0",
  "1.10",
  "1e5",
  "true",
  "fals",
  "null",
  " ",
  "\n",
  "\u0000",
  "\ufeff",
  "&",
  "<",
  ">",
  '"id":',
  '"id":7,',
  '"lastUpdateDateTime":"2026-11-24T16:05:58.29Z",',
  '"alerts":[',
  '"value":[',
  "{}",
  "[]",
  ',{"id":"b"}',
  "\\u0069d",
  "\\ud83d",
  "é",
  "😀",
  "\uffff",
].map((word) => new TextEncoder().encode(word));

/** @param words what is put in; by default what answers of JSON are made of. */
export function mutated(
  corpus: readonly Uint8Array[],
  next: () => number,
  words: readonly Uint8Array[] = WORDS,
): Uint8Array {
  const below = (n: number): number => Math.floor(next() * n);
  let bytes: Uint8Array = corpus[below(corpus.length)]!;
  for (let changes = below(5); changes >= 0; changes--) {
    const at = below(bytes.length + 1);
    const length = next() < 0.7 ? below(4) : below(40);
    const rest = bytes.subarray(Math.min(bytes.length, at + length));
    switch (below(6)) {
      case 0:
        bytes = joined(
          bytes.subarray(0, at),
          Uint8Array.of(below(256)),
          bytes.subarray(Math.min(bytes.length, at + 1)),
        );
        break;
      case 1:
        bytes = joined(bytes.subarray(0, at), words[below(words.length)]!, bytes.subarray(at));
        break;
      case 2:
        bytes = joined(bytes.subarray(0, at), rest);
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at));
        break;
      case 4: {
        const other = corpus[below(corpus.length)]!;
        const from = below(other.length);
        bytes = joined(bytes.subarray(0, at), other.subarray(from, from + length), rest);
        break;
      }
      default:
        bytes = next() < 0.2 ? bytes.subarray(0, at) : joined(bytes.subarray(0, at), words[below(words.length)]!, rest);
    }
  }
  return bytes.slice(0, 4096);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
