import { expect, test } from "@jest/globals";
import { slotTime } from "./slot-time.ts";

const SPLUNKD_S = 1_796_000_000;
const HOUR_MS = 3_600_000;

test("a typed secret has splunkd's time, whatever the browser's clock says", () => {
  for (const offMs of [-HOUR_MS, 0, HOUR_MS])
    expect(slotTime({ now: String(SPLUNKD_S) }, SPLUNKD_S * 1_000 + offMs, 0)).toEqual({
      atMs: SPLUNKD_S * 1_000,
      clock: "splunkd",
    });
});

test("of two secrets that are typed within one second the second is later", () => {
  const first = slotTime({ now: SPLUNKD_S }, 0, 0);
  expect(slotTime({ now: SPLUNKD_S }, 0, first.atMs).atMs).toBeGreaterThan(first.atMs);
});

test("secrets that two people type for one setting in the same second have two times", () => {
  const [first, second] = [250, 251].map((ms) => slotTime({ now: SPLUNKD_S }, 7_000 + ms, 0).atMs);
  expect([first, second]).toEqual([SPLUNKD_S * 1_000 + 250, SPLUNKD_S * 1_000 + 251]);
});

test.each([[undefined], [{}], [{ now: "" }], [{ now: "2026-11-30T02:00:00.000+00:00" }], [{ now: [] }]])(
  "where splunkd says no time (%j) the slot says that it has the browser's",
  (answer) => {
    expect(slotTime(answer, 5_000, 0)).toEqual({ atMs: 5_000, clock: "browser" });
  },
);
