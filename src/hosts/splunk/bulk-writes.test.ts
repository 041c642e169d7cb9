import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { sealed } from "../../model/sealed.ts";
import type { InputWrite, WriteOutcome } from "./bulk-writes.ts";
import { writeInBulk } from "./bulk-writes.ts";
import { credentialId, PasswordStore } from "./passwords.ts";

const input = (name: string, more: Partial<InputWrite> = {}): InputWrite => ({
  kind: "create",
  name,
  app: "TA_defender_mssp",
  settings: { tenant_id: `${name}.example.com` },
  secrets: [],
  ...more,
});

async function write(
  fake: FakeSplunkd,
  writes: readonly InputWrite[],
  { stop = new AbortController().signal, takeMs = 0 } = {},
) {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  fake.validating = () => clock.pause(takeMs);
  const rest = splunkdAt(fake, clock);
  const store = await PasswordStore.read(rest, clock, FakeRandom.always());
  const outcomes: Record<string, WriteOutcome> = {};
  await writeInBulk(writes, {
    rest,
    store,
    clock,
    stop,
    quietMs: 0,
    finishMs: 1500,
    whileClaimed: (_, create) => create(),
    report: async ({ name }, outcome) => {
      expect(outcomes[name]).toBeUndefined();
      outcomes[name] = outcome;
    },
  });
  return { outcomes, store };
}

describe("a list of inputs is written", () => {
  test("as new inputs, with one request each, and one that exists is named and not changed", async () => {
    const fake = new FakeSplunkd();
    fake.inputs.set("b", { tenant_id: "theirs" });
    const { outcomes } = await write(
      fake,
      ["a", "b", "c"].map((name) => input(name)),
    );
    expect(outcomes).toEqual({
      a: { is: "written", overwritten: new Map() },
      b: { is: "refused", status: 409 },
      c: { is: "written", overwritten: new Map() },
    });
    expect(Object.fromEntries(fake.inputs)).toEqual({
      a: { tenant_id: "a.example.com" },
      b: { tenant_id: "theirs" },
      c: { tenant_id: "c.example.com" },
    });
    expect(fake.requests.filter(({ url }) => url.includes("/data/inputs/"))).toHaveLength(3);
  });

  test("as changes of only the settings that differ, and one that has them already costs no restart", async () => {
    const fake = new FakeSplunkd();
    fake.inputs.set("a", { tenant_id: "a.example.com", index: "main" });
    fake.inputs.set("b", { tenant_id: "b.example.com", index: "security" });
    const settings = (name: string) => ({ tenant_id: `${name}.example.com`, index: "security" });
    const { outcomes } = await write(
      fake,
      ["a", "b", "gone"].map((name) => input(name, { kind: "change", settings: settings(name) })),
    );
    expect(outcomes).toEqual({
      a: { is: "written", overwritten: new Map() },
      b: { is: "present" },
      gone: { is: "refused", status: 404 },
    });
    expect(fake.edits.map(({ form }) => form)).toEqual([{ index: "security" }]);
  });

  test("after all their secrets; an input whose secret cannot be stored is not written", async () => {
    const fake = new FakeSplunkd();
    fake.passwordMax = 300;
    const secret = (name: string, id = credentialId(name)) => ({
      id,
      value: sealed(`secret of ${name}`),
      fingerprint: "v1",
    });
    const tooLong = { ...secret("b"), fingerprint: "f".repeat(400) };
    const { outcomes, store } = await write(fake, [
      input("a", { secrets: [secret("a")] }),
      input("b", { secrets: [tooLong] }),
      input("c", { secrets: [secret("c")] }),
    ]);
    expect(outcomes).toMatchObject({
      a: { is: "written" },
      b: { is: "failed", during: "secret", failure: { code: "splunkd-answer" } },
      c: { is: "written" },
    });
    expect(store.get(credentialId("c"))?.value.open((text) => text)).toBe("secret of c");
    expect([...fake.inputs.keys()]).toEqual(["a", "c"]);
    const posts = fake.requests
      .filter(({ method }) => method === "POST")
      .map(({ url }) => url.includes("/data/inputs/"));
    expect(posts.lastIndexOf(false)).toBeLessThan(posts.indexOf(true));
  });

  test("not beyond a stop: no edit begins that the stop would interrupt, and what has not begun is named so", async () => {
    const fake = new FakeSplunkd();
    const stop = new AbortController();
    fake.edited = () => stop.abort();
    const { outcomes } = await write(
      fake,
      ["a", "b"].map((name) => input(name)),
      { stop: stop.signal, takeMs: 2000 },
    );
    expect(outcomes).toEqual({ a: { is: "written", overwritten: new Map() }, b: { is: "not-begun" } });
    expect([...fake.inputs.keys()]).toEqual(["a"]);
  });

  test("and what is quick enough is still finished after a stop, which saves restarts", async () => {
    const fake = new FakeSplunkd();
    const stop = new AbortController();
    fake.edited = () => stop.abort();
    const names = Array.from({ length: 20 }, (_, i) => `customer-${i}`);
    await write(
      fake,
      names.map((name) => input(name)),
      { stop: stop.signal, takeMs: 10 },
    );
    expect(fake.edits.length).toBeGreaterThan(8);
  });

  test("and a failure of one is the outcome of that one", async () => {
    const fake = new FakeSplunkd();
    const send = fake.send.bind(fake);
    fake.send = (request) => {
      if (request.method === "POST" && String(request.body).includes("name=b")) fake.refusals.push(403);
      return send(request);
    };
    const { outcomes } = await write(
      fake,
      ["a", "b", "c"].map((name) => input(name)),
    );
    expect(outcomes).toMatchObject({
      a: { is: "written" },
      b: { is: "failed", during: "input", failure: { code: "splunkd-forbidden" } },
      c: { is: "written" },
    });
  });
});
