import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { accessibilityFaults, disabledInput, startWorld, type World, whatIsMissing } from "./world.ts";

const MANY = 2_000;

(whatIsMissing() === undefined ? describe : describe.skip)("many customers in Splunk Web", () => {
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
