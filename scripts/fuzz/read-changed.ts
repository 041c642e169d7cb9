import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { mutated, randomFrom } from "./mutate.ts";
import { chooserOf, type Reader } from "./readers.ts";

/** What was found, one folder a reader: scripts/fuzz/readers.test.ts reads it for ever after. */
export const FOUND_FOLDER = new URL("../../test/fixtures/fuzz-readers/", import.meta.url);

/** What is wrong with how the reader takes these bytes, also that it threw something else than a Failure. */
export async function wrongOf({ judge }: Reader, bytes: Uint8Array): Promise<string | undefined> {
  try {
    return await judge(bytes, chooserOf(bytes));
  } catch (error) {
    return `it threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

export interface ReaderRun {
  readonly tried: number;
  readonly found: { readonly bytes: Uint8Array; readonly wrong: string } | undefined;
}

/** Changed input, one after another, until something is wrong or `goesOn` says no. */
export async function readChanged(
  reader: Reader,
  seed: number,
  goesOn: (tried: number) => boolean,
): Promise<ReaderRun> {
  const next = randomFrom(seed);
  const corpus = await reader.corpus();
  const words = reader.words.map((word) => new TextEncoder().encode(word));
  let tried = 0;
  for (; goesOn(tried); tried += 1) {
    const bytes = mutated(corpus, next, words);
    const wrong = await wrongOf(reader, bytes);
    if (wrong !== undefined) return { tried, found: { bytes, wrong } };
  }
  return { tried, found: undefined };
}

/** Runs the reader for some minutes. True when nothing was found; what was is saved. */
export async function fuzzReader(
  reader: Reader,
  minutes: number,
  seed: number,
  say: (line: string) => void,
): Promise<boolean> {
  say(`fuzz: ${reader.name}, ${minutes} min, seed ${seed}`);
  const endMs = performance.now() + minutes * 60_000;
  const { tried, found } = await readChanged(reader, seed, (count) => count % 100 !== 0 || performance.now() < endMs);
  if (found === undefined) {
    say(`fuzz: ${reader.name}: ${tried} inputs, nothing wrong`);
    return true;
  }
  const folder = new URL(`${reader.name}/`, FOUND_FOLDER);
  mkdirSync(folder, { recursive: true });
  const name = createHash("sha256").update(found.bytes).digest("hex").slice(0, 12);
  writeFileSync(new URL(name, folder), found.bytes);
  say(
    `fuzz: ${reader.name}: after ${tried} inputs: ${found.wrong}; saved as test/fixtures/fuzz-readers/${reader.name}/${name}`,
  );
  return false;
}
