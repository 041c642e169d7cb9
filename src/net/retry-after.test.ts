import { describe, expect, test } from "@jest/globals";
import { keptWait, retryAfter } from "./retry-after.ts";

const NOW_MS = Date.UTC(2026, 10, 24, 16, 0, 0);

describe("Retry-After is kept to the second, in both forms", () => {
  test.each<[string, Record<string, string>, number | undefined]>([
    ["seconds", { "retry-after": "17" }, 17_000],
    ["zero", { "retry-after": "0" }, 0],
    ["a fraction, rounded up", { "retry-after": "1.5" }, 1_500],
    ["a date, against our clock", { "retry-after": "Tue, 24 Nov 2026 16:01:30 GMT" }, 90_000],
    [
      "a date, against the answer's own clock, which is an hour off",
      { "retry-after": "Tue, 24 Nov 2026 17:00:30 GMT", date: "Tue, 24 Nov 2026 17:00:00 GMT" },
      30_000,
    ],
    ["a date in the past", { "retry-after": "Tue, 24 Nov 2026 15:00:00 GMT" }, 0],
    ["nothing", {}, undefined],
    ["nonsense", { "retry-after": "soon" }, undefined],
    ["a negative number", { "retry-after": "-5" }, undefined],
    ["exactly a day", { "retry-after": "86400" }, 86_400_000],
    ["more than a day", { "retry-after": "86401" }, 86_400_000],
    ["the largest number of 32 bits", { "retry-after": "2147483647" }, 86_400_000],
    ["a number beyond any", { "retry-after": "9".repeat(400) }, 86_400_000],
    ["a date in 60 years", { "retry-after": "Sun, 24 Nov 2086 16:00:00 GMT" }, 86_400_000],
  ])("%s", (_, headers, wanted) => expect(retryAfter(headers, NOW_MS)?.ms).toBe(wanted));
});

test("a wait above a day becomes a day, and a sentence says so", () => {
  expect(keptWait(86_400_000).note).toBeUndefined();
  expect(keptWait(86_401_000).note).toBe(
    "It asked for a wait of 1 day or more; the request is repeated after one day.",
  );
  expect(keptWait(2_147_483_647_000).note).toContain("24855 days or more");
  expect(keptWait(Number.POSITIVE_INFINITY).note).toContain("more than a day");
});
