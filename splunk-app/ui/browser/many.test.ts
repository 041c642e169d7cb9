import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { accessibilityFaults, disabledInput, startWorld, type World, whatIsMissing } from "./world.ts";
import "./busy-machine.ts";

const MANY = 2_000;

const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("many customers in Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    const names = Array.from({ length: MANY }, (_, at) => `customer-${at + 1}`);
    world = await startWorld({ tenants: ["contoso"], inputs: names.map(disabledInput).join("") });
  });

  afterAll(() => world?.close());

  test("of 2,000 customers at most 50 are rendered, and the filter finds every one", async () => {
    const page = await world.open();
    await page.getByText("2000 of 2000 customers").waitFor();
    expect(await page.getByTestId("customer").count()).toBe(50);

    await page.getByLabel("Find").fill("customer-1999");
    await page.getByText("1 of 2000 customers").waitFor();
    expect(await page.getByTestId("customer").count()).toBe(1);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });
});
