import { describe, expect, test } from "@jest/globals";
import { durationMs, shiftInstants, textOfTicks, ticksOf } from "./instant.ts";

const SECOND = 10_000_000n;
/** 2021-04-27T12:19:27Z, counted by another program. */
const SAMPLE_S = 1_619_525_967n;

describe("the simulator's instants", () => {
  test.each([
    ["2021-04-27T12:19:27Z", SAMPLE_S * SECOND],
    ["2021-04-27T12:19:27.7211305Z", SAMPLE_S * SECOND + 7_211_305n],
    ["2021-04-27T12:19:27.0066667Z", SAMPLE_S * SECOND + 66_667n],
    ["2021-04-27T12:19:27.29Z", SAMPLE_S * SECOND + 2_900_000n],
    ["2021-04-27T12:19:27.123456789Z", SAMPLE_S * SECOND + 1_234_567n],
    ["2021-04-27T14:19:27+02:00", SAMPLE_S * SECOND],
    ["2021-04-27T12:19:27.000", SAMPLE_S * SECOND],
    ["1970-01-01", 0n],
    ["1969-12-31T23:59:59.9999999Z", -1n],
  ])("read %s as %i ticks of 100 ns since 1970", (text, ticks) => {
    expect(ticksOf(text)).toBe(ticks);
  });

  test.each(["", "yesterday", "2021-13-01T00:00:00Z", "2021-04-27 12:19:27", "12:19:27Z", "1619525967"])(
    "%j is none",
    (text) => {
      expect(ticksOf(text)).toBeUndefined();
    },
  );

  test("are written with the digits asked for, truncated and never rounded", () => {
    const ticks = SAMPLE_S * SECOND + 9_999_999n;

    expect([7, 3, 0].map((digits) => textOfTicks(ticks, digits))).toEqual([
      "2021-04-27T12:19:27.9999999Z",
      "2021-04-27T12:19:27.999Z",
      "2021-04-27T12:19:27Z",
    ]);
    expect(textOfTicks(-1n)).toBe("1969-12-31T23:59:59.9999999Z");
  });

  test("are moved inside JSON only where they are a whole string", () => {
    const json =
      '{"a":"2021-04-27T12:19:27.7211305Z","b":["2021-04-27T12:19:27Z"],"c":"at 2021-04-27T12:19:27Z","d":"2021-04-27"}';

    expect(shiftInstants(json, 3600n * SECOND)).toBe(
      '{"a":"2021-04-27T13:19:27.7211305Z","b":["2021-04-27T13:19:27Z"],"c":"at 2021-04-27T12:19:27Z","d":"2021-04-27"}',
    );
  });
});

test.each([
  ["PT10M", 600_000],
  ["P7D", 604_800_000],
  ["P1DT2H3M4.5S", 93_784_500],
  ["P", undefined],
  ["PT", undefined],
  ["10M", undefined],
])("the simulator reads the ISO duration %s as %p ms", (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});
