import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { FOUND_FOLDER, readChanged, wrongOf } from "./read-changed.ts";
import { READER_NAMES, READERS, type Reader } from "./readers.ts";

const SEED = 20_261_129;
const INPUTS = 250;

/** Each input that was once read wrongly. */
const found = READERS.flatMap((reader) => {
  const folder = new URL(`${reader.name}/`, FOUND_FOLDER);
  return existsSync(folder)
    ? readdirSync(folder)
        .toSorted()
        .map((name) => [reader.name, name, reader, new Uint8Array(readFileSync(new URL(name, folder)))] as const)
    : [];
});

test("every name has its reader", () => expect(READERS.map(({ name }) => name)).toEqual(READER_NAMES));

describe("a reader of what comes from outside only ever refuses with a Failure, and repeats no secret", () => {
  test.each(READERS.map((reader) => [reader.name, reader] as const))(
    "sound input of %s is all right",
    async (_, reader) => {
      for (const bytes of await reader.corpus()) expect(await wrongOf(reader, bytes)).toBeUndefined();
    },
  );

  test.each(READERS.map((reader) => [reader.name, reader] as const))("changed input of %s", async (_, reader) => {
    const run = await readChanged(reader, SEED, (tried) => tried < INPUTS);
    expect(run.found && { wrong: run.found.wrong, text: Buffer.from(run.found.bytes).toString() }).toBeUndefined();
    expect(run.tried).toBe(INPUTS);
  });

  test("what was once found", async () => {
    for (const [name, file, reader, bytes] of found)
      expect([name, file, await wrongOf(reader, bytes)]).toEqual([name, file, undefined]);
  });
});

test("a reader that throws, steers a terminal or repeats a secret is found", async () => {
  const sound: Reader = READERS[0] as Reader;
  const broken = (judge: Reader["judge"]): Reader => ({ ...sound, judge });
  const thrown = await readChanged(
    broken(() => Promise.reject(new TypeError("x is undefined"))),
    SEED,
    () => true,
  );
  expect(thrown.found?.wrong).toContain("TypeError: x is undefined");
  const seldom = broken((bytes) => Promise.resolve(bytes.length % 5 === 0 ? "wrong" : undefined));
  expect((await readChanged(seldom, SEED, () => true)).found?.wrong).toBe("wrong");
});
