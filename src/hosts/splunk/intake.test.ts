import { expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import {
  claimEntries,
  INTAKE_REALM,
  intakeEntries,
  intakeSlots,
  type SlotClock,
  type TypedFor,
} from "../../config/intake-slot.ts";
import { parseStanzas } from "../../config/settings.ts";
import { endpointBinding } from "../../model/endpoint-binding.ts";
import { sealed } from "../../model/sealed.ts";
import { takeIntake } from "./intake.ts";
import { customerSecretId, PasswordStore } from "./passwords.ts";

const APP = "TA_defender_mssp";
const GUID = "1a111111-2222-3333-4444-555555555555";
/** With everything that a form, a URL or JSON could damage. */
const TOKEN = `0.A"X+'%&=\\~:é ${"Zy+/".repeat(470)}`;
const fingerprintOf = endpointBinding({ readFile: () => new Uint8Array(), sha256Hex: (bytes) => `${bytes.length}` });

async function bench(values: Readonly<Record<string, string>> = {}, name = "contoso") {
  const fake = new FakeSplunkd();
  const clock = new FakeClock(T0);
  const log = new FakeLog();
  const { stanzas } = parseStanzas([{ name, values: { tenant_id: GUID, client_id: GUID, ...values } }], {
    host: "splunk",
    nowMs: T0,
  });
  const splunkd = splunkdAt(fake, clock);
  const put = (
    key: string,
    secret: string,
    where: TypedFor,
    { atMs = T0, pieces = Number.POSITIVE_INFINITY, by }: { atMs?: number; pieces?: number; by?: SlotClock } = {},
  ) => {
    for (const entry of intakeEntries(name, key, secret, where, atMs, by).slice(0, pieces))
      fake.add(APP, INTAKE_REALM, entry.name, entry.password);
  };
  const take = async () => {
    const store = await PasswordStore.read(splunkd, clock, FakeRandom.always());
    const files = { files: { look: () => ({ kind: "missing" as const }) } };
    const { refused } = await takeIntake(store, stanzas, { splunkd, secrets: { files, fingerprintOf }, clock, log });
    const read = (key: "client_secret" | "refresh_token") =>
      store.get(customerSecretId(name, key))?.value.open((text) => text);
    return { refused, read };
  };
  const left = () => [...fake.rows.values()].filter(({ realm }) => realm === INTAKE_REALM).length;
  return { fake, log, clock, put, take, left, splunkd };
}

test("a long token of any characters is stored as it was typed, for a customer of any name, and its slot is deleted", async () => {
  const { put, take, left, log } = await bench({}, '<img src=x onerror="a:b~c">');
  put("refresh_token", TOKEN, {});
  expect(left()).toBeGreaterThan(7);

  const { read, refused } = await take();

  expect(read("refresh_token")).toBe(TOKEN);
  expect([left(), refused.size]).toEqual([0, 0]);
  expect(log.texts.join()).not.toContain("Zy+/");
});

test("no entry is longer than Splunk encrypts", () => {
  const entries = intakeEntries("contoso", "refresh_token", "é".repeat(2_000), { proxy: "http://p:1" }, T0);

  expect(Math.max(...entries.map(({ password }) => password.length))).toBeLessThanOrEqual(255);
});

test("secrets that two pages write for one setting at one moment are two slots, and neither has the other's pieces", () => {
  const typed = ["a".repeat(600), "b".repeat(600)];
  const entries = typed.flatMap((secret, at) =>
    intakeEntries("contoso", "client_secret", secret, {}, T0, "splunkd", `page${at}`),
  );
  const slots = intakeSlots(new Map(entries.map(({ name, password }) => [name, sealed(password)])));

  expect(new Set(entries.map(({ name }) => name)).size).toBe(entries.length);
  expect(
    slots.map(({ stanza, key, atMs, text }) => [stanza, key, atMs, text?.open((all) => JSON.parse(all).secret)]),
  ).toEqual(typed.map((secret) => ["contoso", "client_secret", T0, secret]));
});

test.each<[string, Readonly<Record<string, string>>, TypedFor, string]>([
  ["another address", { login_url: "https://evil.example" }, {}, "login_url"],
  ["another proxy", { proxy: "http://evil.example:1" }, { proxy: "http://proxy.example:1" }, "proxy"],
  ["another cloud", { cloud: "dod" }, { cloud: "commercial" }, "login_url"],
  ["another customer, whose name somebody else took", {}, { tenant_id: GUID.replace("1", "9") }, "tenant_id"],
  ["another app", {}, { tenant_id: GUID, client_id: GUID.replace("1", "9") }, "client_id"],
  ["a CA file that cannot be looked at", {}, { ca_file: "/gone.pem" }, "ca_file"],
])("a secret that was typed for %s is not used, and the failure says so", async (_, values, where, part) => {
  const { put, take, left } = await bench(values);
  put("client_secret", "s3cret", where);

  const { read, refused } = await take();

  expect(read("client_secret")).toBeUndefined();
  expect(refused.get("contoso")).toMatchObject({ code: "endpoint-changed" });
  expect(refused.get("contoso")?.say).toContain(part);
  expect(left()).toBe(1);
});

test("the form's words for the same destination are the same destination", async () => {
  const { put, take } = await bench({ login_url: "https://login.example/", proxy: "proxy.example:80" });
  put("client_secret", "s3cret", { login_url: " https://login.example", proxy: "http://proxy.example:80/", cloud: "" });

  expect((await take()).read("client_secret")).toBe("s3cret");
});

test.each([
  ["in other letters and with braces", { tenant_id: ` {${GUID.toUpperCase()}} `, client_id: GUID.toUpperCase() }],
  ["without a client ID, which may be a shared credential's", { tenant_id: GUID, client_id: "" }],
])("the form's words for the same customer, %s, are the same customer", async (_, where) => {
  const { put, take } = await bench();
  put("client_secret", "s3cret", where);

  expect((await take()).read("client_secret")).toBe("s3cret");
});

test("with partnercenter_url set for the whole process, a typed secret is stored all the same", async () => {
  const { put, take } = await bench({ partnercenter_url: "https://partner.example" });
  put("client_secret", "s3cret", {});

  expect((await take()).read("client_secret")).toBe("s3cret");
});

test("of two admins at once the one who saved last wins", async () => {
  const { put, take, left } = await bench();
  put("client_secret", "second", {}, { atMs: T0 + 5 });
  put("client_secret", "first", {});

  expect((await take()).read("client_secret")).toBe("second");
  expect(left()).toBe(0);
});

test("a slot without its input, or without some of its pieces, stays for an hour and is then deleted with a warning", async () => {
  for (const [minutesAgo, kept] of [
    [59, true],
    [61, false],
  ] as const) {
    const { put, take, left, log } = await bench();
    const atMs = T0 - minutesAgo * 60_000;
    put("refresh_token", TOKEN, {}, { atMs, pieces: 3 });
    put("nothing", "x", {}, { atMs });

    const { read, refused } = await take();

    expect([read("refresh_token"), refused.size, left()]).toEqual([undefined, 0, kept ? 4 : 0]);
    expect(log.lines.map(({ level }) => level)).toEqual(kept ? [] : ["warn", "warn"]);
  }
});

test("a secret that was typed for a disabled input waits until that is enabled, and is then stored", async () => {
  const { fake, put, take, left, log, clock } = await bench();
  for (const [input, disabled] of [
    ["contoso", "0"],
    ["fabrikam", "1"],
  ] as const)
    fake.inputs.set(input, { disabled });
  for (const input of ["fabrikam", "deleted"])
    for (const { name, password } of intakeEntries(input, "client_secret", "s3cret", {}, T0))
      fake.add(APP, INTAKE_REALM, name, password);
  put("nothing", "x", {});
  clock.now += 2 * 3_600_000;

  await take();
  expect(left()).toBe(1);
  expect(log.lines.map(({ fields }) => fields["customer"])).toEqual(["contoso", "deleted"]);
  const enabled = await bench({}, "fabrikam");
  for (const [id, row] of fake.rows) enabled.fake.rows.set(id, row);
  expect((await enabled.take()).read("client_secret")).toBe("s3cret");
});

test("while splunkd's list of inputs cannot be read, no typed secret is deleted, and others are stored", async () => {
  const { fake, put, take, left, clock } = await bench();
  for (const input of ["a", "b"])
    for (const { name, password } of intakeEntries(input, "client_secret", "s3cret", {}, T0))
      fake.add(APP, INTAKE_REALM, name, password);
  clock.now += 2 * 3_600_000;
  put("client_secret", "s3cret", {}, { atMs: clock.nowMs() });
  const send = fake.send.bind(fake);
  fake.send = (request) => {
    if (request.url.includes("/data/inputs/")) fake.refusals.push(403);
    return send(request);
  };

  expect((await take()).read("client_secret")).toBe("s3cret");
  expect([left(), fake.requests.filter(({ url }) => url.includes("/data/inputs/")).length]).toEqual([2, 1]);
});

test("a splunkd that fails while a secret is taken over leaves the slot for the next start", async () => {
  const { fake, put, take, left, log } = await bench();
  put("client_secret", "s3cret", {});
  const list = fake.requests.length;
  fake.send = ((send) => async (request) => {
    if (request.method === "POST" && fake.requests.length > list) fake.refusals.push(403);
    return send(request);
  })(fake.send.bind(fake));

  await take();

  expect(left()).toBe(1);
  expect(log.lines.map(({ level, fields }) => [level, fields["failure"]])).toContainEqual([
    "warn",
    "splunkd-forbidden",
  ]);
});

test("a splunkd that fails is asked once for all slots, and each is said to be not stored yet", async () => {
  const { fake, put, take, left, log } = await bench();
  put("client_secret", "s3cret", {});
  put("refresh_token", "t0ken", {});
  const send = fake.send.bind(fake);
  fake.send = (request) => {
    if (request.method === "POST") fake.refusals.push(403);
    return send(request);
  };

  await take();

  const writes = fake.requests.filter(({ body }) => String(body).startsWith("name=customer."));
  expect(writes).toHaveLength(1);
  expect(log.lines.map(({ fields }) => fields["keys"])).toEqual(["client_secret", "refresh_token", undefined]);
  expect(left()).toBe(2);
});

test("a secret that splunkd does not accept does not keep the other slots from being stored", async () => {
  const { fake, put, take } = await bench();
  put("client_secret", "s3cret", {});
  put("refresh_token", "t0ken", {});
  const send = fake.send.bind(fake);
  fake.send = (request) => {
    if (request.method === "POST" && String(request.body).includes("client_secret")) fake.refusals.push(400);
    return send(request);
  };

  expect((await take()).read("refresh_token")).toBe("t0ken");
});

/** Takes a typed secret over, and is killed before its slot is deleted. */
async function takenWithoutDeleting(by: SlotClock = "splunkd") {
  const at = await bench();
  at.put("client_secret", "typed", {}, { by });
  const send = at.fake.send.bind(at.fake);
  at.fake.send = (request) => {
    if (request.method === "DELETE" && request.url.includes("intake")) at.fake.refusals.push(403);
    return send(request);
  };
  at.clock.now += 2_000;
  await at.take();
  at.fake.send = send;
  expect(at.left()).toBe(1);
  at.clock.now += 60_000;
  const given = async (secret: string, how?: "as before") => {
    const store = await PasswordStore.read(at.splunkd, at.clock, FakeRandom.always());
    await store.put(customerSecretId("contoso", "client_secret"), sealed(secret), "newer", how);
  };
  return { ...at, given };
}

test("a slot that was taken over but not deleted does not replace a secret that was given since", async () => {
  const { given, take, left } = await takenWithoutDeleting();
  await given("newer");

  expect((await take()).read("client_secret")).toBe("newer");
  expect(left()).toBe(0);
});

test("a slot that was taken over but not deleted does not replace what Microsoft renewed since", async () => {
  const { given, take, left } = await takenWithoutDeleting();
  await given("renewed", "as before");

  expect((await take()).read("client_secret")).toBe("renewed");
  expect(left()).toBe(0);
});

test("what Microsoft renewed while a secret was typed does not keep the typed one from being stored", async () => {
  const { given, put, clock, take } = await takenWithoutDeleting();
  put("client_secret", "typed again", {}, { atMs: clock.nowMs() });
  clock.now += 1_000;
  await given("renewed", "as before");

  expect((await take()).read("client_secret")).toBe("typed again");
});

test.each([
  ["a browser's clock, which may be slow", "browser", 0],
  ["a clock that has been set back since the stored secret", "splunkd", 3_600_000],
] as const)("a secret with the time of %s is stored", async (_, by, aheadMs) => {
  const { given, put, clock, take } = await takenWithoutDeleting(by);
  clock.wallOffsetMs += aheadMs;
  await given("before");
  clock.wallOffsetMs = 0;
  put("client_secret", "just typed", {}, { atMs: T0 + 1_000, by });

  expect((await take()).read("client_secret")).toBe("just typed");
});

test("a claim of a name is not a secret: it stays while its page may create the input, and is then deleted without a word", async () => {
  const { fake, log, clock, take, left } = await bench();
  for (const { name, password } of claimEntries("contoso", T0, "page")) fake.add(APP, INTAKE_REALM, name, password);

  await take();
  expect(left()).toBe(2);
  clock.now += 3 * 60_000;
  expect((await take()).read("client_secret")).toBeUndefined();
  expect([left(), log.lines]).toEqual([0, []]);
});
