import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { SplunkInputs } from "./inputs.ts";

function inputsOf(fake: FakeSplunkd): SplunkInputs {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  return new SplunkInputs(splunkdAt(fake, clock), clock);
}

describe("the customers that are inputs", () => {
  test("are all read, also 2,500 of them, and their secrets are not", async () => {
    const fake = new FakeSplunkd();
    for (let n = 0; n < 2_500; n += 1)
      fake.inputs.set(`c${n}`, { tenant_id: `c${n}.example.com`, client_secret: "in-clear", index: "" });
    const customers = await inputsOf(fake).read();
    expect(customers).toHaveLength(2_500);
    expect(customers.at(-1)).toEqual({ name: "c2499", values: { tenant_id: "c2499.example.com" } });
    expect(JSON.stringify(customers)).not.toContain("in-clear");
  });

  test("are not taken for none when splunkd answers without a list", async () => {
    const fake = new FakeSplunkd();
    fake.inputs.set("contoso", { tenant_id: "contoso.example.com" });
    fake.refusals.push(200);
    await expect(inputsOf(fake).read()).rejects.toMatchObject({ code: "splunkd-answer", status: 200 });
  });
});
