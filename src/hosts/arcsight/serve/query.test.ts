import { describe, expect, test } from "@jest/globals";
import { formatInstant, ticksFromMs } from "../../../model/instant.ts";
import { readPollQuery, readTime } from "./query.ts";

const NOW = Date.UTC(2026, 10, 24, 19, 0, 0);

function read(query: string, newest = 0n) {
  return readPollQuery(new URLSearchParams(query), NOW, newest);
}

describe("a poll's start time is understood in every plausible form:", () => {
  test.each([
    ["2016-09-12T00:00:00.000", "2016-09-12T00:00:00.0000000Z"],
    ["2026-11-24T16:05:58.1234567Z", "2026-11-24T16:05:58.1234567Z"],
    ["2026-11-24T18:05:58+02:00", "2026-11-24T16:05:58.0000000Z"],
    ["2026-11-24T18:05:58 02:00", "2026-11-24T16:05:58.0000000Z"],
    ["2026-11-24T11:05:58-0500", "2026-11-24T16:05:58.0000000Z"],
    ['"2016-09-12 00:00:00"', "2016-09-12T00:00:00.0000000Z"],
    ["2026-11-24 16:05:58 UTC", "2026-11-24T16:05:58.0000000Z"],
    ["2026-11-24", "2026-11-24T00:00:00.0000000Z"],
    ["1795536358", "2026-11-24T16:05:58.0000000Z"],
    ["1795536358.25", "2026-11-24T16:05:58.2500000Z"],
    ["1795536358123", "2026-11-24T16:05:58.1230000Z"],
    ["Tue Nov 24 16:05:58 UTC 2026", "2026-11-24T16:05:58.0000000Z"],
    ["Nov 24 2026 16:05:58", "2026-11-24T16:05:58.0000000Z"],
    ["Nov 24 2026 16:05:58.25 UTC", "2026-11-24T16:05:58.2500000Z"],
    ["nov 4 2026 16:05:58", "2026-11-04T16:05:58.0000000Z"],
    ["2026-11-24T16:05:58,5", "2026-11-24T16:05:58.5000000Z"],
    ["2026-11-24T18:05:58.5 02:00", "2026-11-24T16:05:58.5000000Z"],
    ["2026/11/24 16:05", "2026-11-24T16:05:00.0000000Z"],
    ["2026-11-24 16:05", "2026-11-24T16:05:00.0000000Z"],
    ["20261124T160558Z", "2026-11-24T16:05:58.0000000Z"],
    ["Tue, 24 Nov 2026 16:05:58 GMT", "2026-11-24T16:05:58.0000000Z"],
  ])("%s", (text, wanted) => {
    expect(formatInstant(readTime(text) as bigint)).toBe(wanted);
  });

  test.each(["", "yesterday", "2026-13-40", "$START_AT_TIME", "12", "Nov 31 2026 16:05:58", "Nul 24 2026 16:05:58"])(
    "%s is none",
    (text) => {
      expect(readTime(text)).toBeUndefined();
    },
  );
});

describe("a poll of arcsight serve", () => {
  test("without any parameter asks for the last two hours, as with the old API", () => {
    expect(read("")).toMatchObject({ ok: true, query: { after: ticksFromMs(NOW - 2 * 3_600_000) } });
  });

  test("may have parameter names in any case, repeated groups and percent-encoded times", () => {
    expect(
      read(
        "SINCETIMEUTC=2026-11-24T16%3A00%3A00Z&untiltimeutc=2026-11-24T17:00:00Z&limit=5&machinegroups=A&machinegroups=B&CloudCreatedMachineTags=t",
      ),
    ).toEqual({
      ok: true,
      query: {
        after: ticksFromMs(NOW - 3 * 3_600_000),
        until: ticksFromMs(NOW - 2 * 3_600_000),
        limit: 5,
        machineGroups: ["A", "B"],
        machineTags: ["t"],
      },
    });
  });

  test.each([
    ["PT10M", 600_000],
    ["P1DT2H", 26 * 3_600_000],
    ["P1W", 7 * 86_400_000],
    ["PT90S", 90_000],
  ])("understands ago=%s", (ago, ms) => {
    expect(read(`ago=${ago}`)).toMatchObject({ ok: true, query: { after: ticksFromMs(NOW - ms) } });
  });

  test.each([
    ["sinceTimeUtc=$START_AT_TIME", /still contains the variable \$START_AT_TIME, which the connector did not replace/],
    ["sinceTimeUtc=%24START_AT_TIME", /still contains the variable \$START_AT_TIME/],
    ["since=%24%7BSTART%7D", /still contains the variable \$\{START\}/],
    ["sinceTimeUtc=nonsense", /^sinceTimeUtc nonsense is not a time; write it as 2026-11-24T16:00:00Z/],
    [
      "sinceTimeUtc=2027-01-01",
      /is in the future, here it is 2026-11-24T19:00:00.0000000Z; correct the connector's clock/,
    ],
    ["untilTimeUtc=x", /^untilTimeUtc x is not a time/],
    ["ago=10m", /^ago 10m is not a duration; write it as PT10M/],
    ["limit=-1", /^limit -1 is not a whole number/],
  ])("with %s is refused in one sentence", (query, wanted) => {
    expect(read(query)).toEqual({ ok: false, say: expect.stringMatching(wanted) });
  });

  test("may start ahead of a clock that stepped back while rows have such times", () => {
    const newest = ticksFromMs(NOW + 3_600_000);
    expect(read("sinceTimeUtc=2026-11-24T20:00:00Z", newest).ok).toBe(true);
    expect(read("sinceTimeUtc=2026-11-24T20:11:00Z", newest).ok).toBe(false);
  });

  test("ignores an empty parameter when a later one of that name has a value", () => {
    expect(read("sinceTimeUtc=&since=2026-11-24T16:00:00Z")).toMatchObject({
      query: { after: ticksFromMs(NOW - 3 * 3_600_000) },
    });
  });

  test("may start ten years ago, and minutes ahead for a clock that is ahead", () => {
    expect(read("sinceTimeUtc=2016-11-24").ok).toBe(true);
    expect(read("sinceTimeUtc=2026-11-24T19:09:00Z").ok).toBe(true);
  });
});
