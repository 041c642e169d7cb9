import { describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { claimEntries, INTAKE_REALM } from "../../config/intake-slot.ts";
import { Failure } from "../../model/failure.ts";
import type { RosterChange } from "../../model/roster.ts";
import { SplunkInputs } from "./inputs.ts";

function inputsOf(fake: FakeSplunkd, seed = 1): SplunkInputs {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  return new SplunkInputs(splunkdAt(fake, clock), clock, new FakeRandom(seed));
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

const APP = "TA_defender_mssp";
const addition = (name: string): RosterChange => ({ kind: "add", name, values: { tenant_id: `${name}.example.com` } });

/** Adds inputs of these names; what became of each. */
async function added(inputs: SplunkInputs, names: readonly string[]): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  await inputs.write(names.map(addition), ({ name }, failure) => {
    outcomes[name] = failure?.say ?? "written";
  });
  return outcomes;
}

const claims = (fake: FakeSplunkd) => [...fake.rows.values()].filter(({ realm }) => realm === INTAKE_REALM).length;

function claim(fake: FakeSplunkd, name: string, nowMs: number): void {
  for (const entry of claimEntries(name, nowMs, "page-1")) fake.add(APP, INTAKE_REALM, entry.name, entry.password);
}

const TAKEN = "is not written: somebody else is adding an input with this name to Splunk now.";

describe("a new input", () => {
  test("is not created while a page adds one of its name, and the others are", async () => {
    const fake = new FakeSplunkd();
    claim(fake, "contoso", T0 - 60_000);
    expect(await added(inputsOf(fake), ["contoso", "fabrikam"])).toEqual({
      contoso: `contoso ${TAKEN}`,
      fabrikam: "written",
    });
    expect([...fake.inputs.keys()]).toEqual(["fabrikam"]);
    expect(claims(fake)).toBe(2);
  });

  test("has its name claimed while it is created, so no page leaves a secret for it, and the claim is then deleted", async () => {
    const fake = new FakeSplunkd();
    const held: number[] = [];
    fake.validating = async () => void held.push(claims(fake));
    expect(await added(inputsOf(fake), ["contoso", "fabrikam"])).toEqual({ contoso: "written", fabrikam: "written" });
    // Two may be under way at once.
    expect(Math.min(...held)).toBeGreaterThanOrEqual(2);
    expect(claims(fake)).toBe(0);
  });

  test("is created once by two commands that run at the same time", async () => {
    const fake = new FakeSplunkd();
    const outcomes: Record<string, string>[] = [];
    fake.validating = async () => {
      fake.validating = async () => {};
      outcomes.push(await added(inputsOf(fake, 2), ["contoso"]));
    };
    outcomes.push(await added(inputsOf(fake), ["contoso"]));
    expect(outcomes).toEqual([{ contoso: `contoso ${TAKEN}` }, { contoso: "written" }]);
  });

  test("is claimed by splunkd's clock, as this machine's may be hours off", async () => {
    const fake = new FakeSplunkd();
    fake.nowMs = T0 + 5 * 3_600_000;
    claim(fake, "contoso", fake.nowMs);
    expect(await added(inputsOf(fake), ["contoso"])).toEqual({ contoso: `contoso ${TAKEN}` });
  });

  test("stays claimed while it is not known whether splunkd created it", async () => {
    const fake = new FakeSplunkd();
    fake.validating = () => Promise.reject(lost());
    expect(Object.values(await added(inputsOf(fake), ["contoso"]))[0]).toContain("does not answer");
    expect(claims(fake)).toBe(2);
  });

  test("is not created where this account may not claim its name, and the failure names the capability", async () => {
    const fake = new FakeSplunkd();
    // The time, then the claim.
    fake.refusals.push(404, 403);
    expect(Object.values(await added(inputsOf(fake), ["contoso"]))[0]).toContain("edit_storage_passwords");
    expect([...fake.inputs.keys()]).toEqual([]);
  });
});

function lost(): Failure {
  return new Failure("connection-reset", { actor: "operator", retry: { when: "soon" }, say: "Reset." });
}
