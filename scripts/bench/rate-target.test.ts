import { describe, expect, test } from "@jest/globals";
import type { Microsoft } from "./microsoft.ts";
import { RateTargets } from "./rate-target.ts";

const MICROSOFT = {} as Microsoft;

/** A plain loop that makes these rates, one after another. */
function loop(...rates: readonly number[]) {
  const ran = { times: 0 };
  const targets = new RateTargets(async () => rates[ran.times++] ?? Number.NaN);
  return { targets, ran };
}

describe("an absolute rate is asked for", () => {
  test.each([
    [15_000, 20_000],
    [30_000, 20_000],
    [14_999, 19_999],
    [7_500, 10_000],
    [3_440, 4_587],
  ])("where the plain loop makes %i alerts/s: %i of 20,000", async (plainRate, wanted) => {
    const { targets } = loop(plainRate);
    await targets.beside("hec", MICROSOFT);
    const { rate, said } = targets.of(20_000);
    expect(rate).toBe(wanted);
    expect(said).toBe(`>= ${wanted} (20000 where the plain loop makes 15000; here ${plainRate} beside hec)`);
  });

  test("in full where the plain loop was not measured, and the row says so", () => {
    expect(loop().targets.of(20_000)).toEqual({
      rate: 20_000,
      said: ">= 20000 (in full, because the plain loop was not measured)",
    });
  });

  test("by the median of the plain loop's runs, so that one slow minute lowers no target", async () => {
    const { targets } = loop(15_000, 1_000, 16_000);
    for (let run = 0; run < 3; run += 1) await targets.beside("hec", MICROSOFT);
    expect(targets.of(20_000).rate).toBe(20_000);
  });
});

describe("the plain loop is measured once", () => {
  test("in each run of the first row that needs it, and later rows share its figures", async () => {
    const { targets, ran } = loop(7_500, 7_500);
    for (const row of ["arcsight-tls", "hec", "kafka"])
      for (let run = 0; run < 2; run += 1) await targets.beside(row, MICROSOFT);
    expect(ran.times).toBe(2);
    expect([targets.of(25_000), targets.of(10_000)].map(({ rate }) => rate)).toEqual([12_500, 5_000]);
    expect(targets.of(10_000).said).toContain("here 7500 beside arcsight-tls");
  });

  test("not again where a row has measured it for its own ratio", async () => {
    const { targets, ran } = loop(1);
    targets.measured("catch-up", [7_500, 7_500]);
    await targets.beside("hec", MICROSOFT);
    expect(ran.times).toBe(0);
    expect(targets.of(20_000).rate).toBe(10_000);
  });
});
