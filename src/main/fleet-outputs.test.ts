import { describe, expect, test } from "@jest/globals";
import { fleetObstacle } from "./fleet.ts";
import { type FleetOutput, outputNames } from "./fleet-outputs.ts";

const output = (name: string, more: Partial<FleetOutput> = {}): FleetOutput => ({
  name,
  type: "cef-file",
  profile: "xdr",
  evidence: "none",
  cefVersion: "0",
  ...more,
});
const today = output("outputs[0]");
const retired = output("outputs[1]", { profile: "legacy" });

describe("the names of outputs in a fleet", () => {
  test("stay when another output of the same type is removed, and when two of them change places", () => {
    const [ofToday, ofRetired] = outputNames([today, retired]);

    expect(outputNames([retired])).toEqual([ofRetired]);
    expect(outputNames([retired, today])).toEqual([ofRetired, ofToday]);
    expect(ofToday).not.toBe(ofRetired);
  });

  test("are the same on members that write the same tenants in another order", () => {
    expect(outputNames([output("outputs[0]", { tenants: ["a", "b"] })])).toEqual(
      outputNames([output("outputs[0]", { tenants: ["b", "a"] })]),
    );
  });

  test("begin with the type, by which a changed output finds its progress again", () => {
    expect(outputNames([today])[0]).toMatch(/^cef-file-[0-9a-f]{8}$/);
  });

  test("two outputs that would share one progress are refused before anything is opened", () => {
    const obstacleOf = (outputs: readonly FleetOutput[]) =>
      fleetObstacle({ config: { settings: {}, outputs } } as unknown as Parameters<typeof fleetObstacle>[0], {
        once: false,
        customer: undefined,
      });

    expect(obstacleOf([today, retired])).toBeUndefined();
    expect(obstacleOf([today, retired, output("outputs[2]")])).toBe(
      "outputs[0] and outputs[2] have the same type, profile and tenants, and would share one progress in a fleet; " +
        "change one of them, or remove it",
    );
  });
});
