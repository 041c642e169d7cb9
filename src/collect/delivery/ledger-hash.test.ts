import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { objectHash } from "./ledger.ts";

const text = (hash: readonly number[]): string =>
  hash.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

test("objects that differ little have different hashes: neighbours in number, letter, length and kind", () => {
  const seen = new Set<string>();
  let count = 0;
  const take = (kind: "alert" | "incident" | "row", id: string): void => {
    seen.add(text(objectHash(kind, id)));
    count += 1;
  };
  for (let n = 0; n < 100_000; n++) take("incident", String(n));
  for (let n = 0; n < 50_000; n++)
    take("alert", `da638${n.toString(16).padStart(12, "0")}-4fd3-41c2-9f0e-5c1f8a7d2b${n % 10}e_1`);
  for (let n = 0; n < 5_000; n++) take("alert", String(n));
  for (let n = 0; n < 5_000; n++) take("row", String(n));
  for (const end of ["", "\u0000", "\u0000\u0000", "\u0000\u0000\u0000", " "])
    for (const id of ["", "a", "abcdefgh"]) take("alert", `${id}${end}`);
  expect(seen.size).toBe(count);
});

test("each bit of the hash depends on each character of the id", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: anyCharacter, minLength: 1, maxLength: 40 }),
      fc.nat(),
      fc.integer({ min: 0, max: 15 }),
      (id, where, bit) => {
        const at = where % id.length;
        const other = id.slice(0, at) + String.fromCharCode(id.charCodeAt(at) ^ (1 << bit)) + id.slice(at + 1);
        const [one, two] = [objectHash("alert", id), objectHash("alert", other)];
        const changed = one.map((word, i) => ((word ^ two[i]!) >>> 0).toString(2).replaceAll("0", "").length);
        // 128 bits of which about half change; fewer than 20 have a chance below 10^-15.
        expect(changed.reduce((sum, n) => sum + n, 0)).toBeGreaterThanOrEqual(20);
      },
    ),
  );
});
