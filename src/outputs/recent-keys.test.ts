import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../test/harness/any-character.ts";
import { joined, RecentKeys } from "./recent-keys.ts";

test("an event that comes again and again stays known, however many others come", () => {
  const recent = new RecentKeys(3);
  recent.took(["again"]);
  for (let n = 0; n < 10; n += 1) {
    expect(recent.wants("again")).toBe(false);
    recent.took([`other ${n}`]);
  }
});

test("an event that may have been lost is wanted until it was taken again", () => {
  const recent = new RecentKeys();
  recent.took(["a"]);
  recent.setPending(["a"]);
  expect([recent.wants("a"), recent.wants("a")]).toEqual([true, true]);
  recent.took(["a"]);
  expect(recent.wants("a")).toBe(false);
});

test("keys that are joined in memory are equal to the original keys", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: anyCharacter })), (texts) => {
      expect(joined(texts)).toEqual(texts);
    }),
  );
});
