import { describe, expect, test } from "@jest/globals";
import { retryAfterMs } from "./retry-after.ts";

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
  ])("%s", (_, headers, wanted) => expect(retryAfterMs(headers, NOW_MS)).toBe(wanted));
});
