import { expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { INTAKE_REALM, intakeEntries, SHARED_CREDENTIAL, type TypedDestination } from "../../config/intake-slot.ts";
import { readDestination } from "../../config/settings.ts";
import { endpointBinding } from "../../model/endpoint-binding.ts";
import { sealed } from "../../model/sealed.ts";
import { PageCredentials } from "./page-credentials.ts";
import { credentialId, PasswordStore, type SecretId } from "./passwords.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const OTHER_GUID = "22222222-2222-3333-4444-555555555555";
const SECRET = 'v~"+&%\\é-secret';
const fingerprintOf = endpointBinding({
  readFile: () => new Uint8Array(),
  sha256Hex: (bytes) => Buffer.from(bytes).toString("hex").slice(-64),
});

interface Scene {
  readonly inputs?: Readonly<Record<string, string>>;
  readonly homeApp?: string;
}

async function bench({ inputs = {}, homeApp }: Scene = {}) {
  const fake = new FakeSplunkd();
  const clock = new FakeClock(T0);
  const log = new FakeLog();
  const splunkd = splunkdAt(fake, clock);
  const read = () => PasswordStore.read(splunkd, clock, FakeRandom.always());
  const changed: SecretId[] = [];
  const credentials = new PageCredentials({
    store: read,
    changed: (ids) => changed.push(...ids),
    inputs: async () =>
      Object.entries(inputs).map(([name, credential]) => ({ name, app: "TA_defender_mssp", content: { credential } })),
    globals: homeApp === undefined ? {} : { discoverCredential: homeApp },
    secrets: { files: { files: { look: () => ({ kind: "missing" }) } }, fingerprintOf },
    log,
  });
  const type = (name: string, typed: object, where: TypedDestination = {}, atMs = T0) => {
    for (const entry of intakeEntries(name, SHARED_CREDENTIAL, JSON.stringify(typed), where, atMs))
      fake.add("TA_defender_mssp", INTAKE_REALM, entry.name, entry.password);
  };
  const put = async (name: string, value: object, where: TypedDestination = {}) => {
    const to = readDestination(where, () => undefined);
    if (to === undefined) throw new Error("not a destination");
    await (await read()).put(credentialId(name), sealed(JSON.stringify(value)), fingerprintOf(to));
  };
  const stored = async (name: string) =>
    (await read()).get(credentialId(name))?.value.open((text) => JSON.parse(text) as unknown);
  const slots = () => [...fake.rows.values()].filter(({ realm }) => realm === INTAKE_REALM).length;
  return { credentials, type, put, stored, slots, changed, log };
}

test("the list says of each credential its kind, its end and who uses it, and nothing that is secret", async () => {
  const { credentials, put } = await bench({ inputs: { b: "mssp", a: " mssp ", c: "" }, homeApp: "home" });
  await put("mssp", { client_id: GUID, client_secret: SECRET, expires: "2027-01-01T00:00:00.000Z" });
  await put("home", { client_id: GUID, certificate: "/etc/app.pem", tenant: GUID });
  await put("odd", { no: "client ID" });

  const rows = await credentials.list();

  expect(rows.map(({ name, kind, expires, used_by: users }) => [name, kind, expires, users])).toEqual([
    ["home", "certificate", null, []],
    ["mssp", "client secret", "2027-01-01T00:00:00.000Z", ["a", "b"]],
    ["odd", "damaged", null, []],
  ]);
  expect(rows.map(({ is_home_app: isHome }) => isHome)).toEqual([true, false, false]);
  expect(JSON.stringify(rows)).not.toContain(SECRET);
});

test("a typed secret takes the place of the stored one, which keeps its app, and counts for its customers at once", async () => {
  const { credentials, type, put, stored, slots, changed, log } = await bench();
  await put("mssp", { client_id: GUID, client_secret: "old", expires: "2026-01-01T00:00:00.000Z", tenant: OTHER_GUID });
  type("mssp", { client_secret: "typed before" }, {}, T0 - 1);
  type("mssp", { client_secret: SECRET, expires: "2027-11-24" });
  type("other", { client_secret: "of another credential" });

  await credentials.replace("mssp");

  expect(await stored("mssp")).toEqual({
    client_id: GUID,
    client_secret: SECRET,
    expires: "2027-11-24T00:00:00.000Z",
    tenant: OTHER_GUID,
  });
  expect(changed).toEqual(["credential.mssp"]);
  expect(slots()).toBe(1);
  expect(log.texts.join()).not.toContain(SECRET);
});

test("a new credential needs a client ID, and is bound to the addresses on the page", async () => {
  const { credentials, type, stored, slots } = await bench();
  type("new", { client_secret: SECRET });
  await expect(credentials.replace("new")).rejects.toMatchObject({ say: expect.stringContaining("no client ID") });
  expect([await stored("new"), slots()]).toEqual([undefined, 0]);

  type("new", { client_id: GUID, client_secret: SECRET }, { cloud: "gcc-high" });
  await credentials.replace("new");
  expect(await stored("new")).toEqual({ client_id: GUID, client_secret: SECRET });

  type("new", { client_secret: "redirected" }, { cloud: "commercial" });
  await expect(credentials.replace("new")).rejects.toMatchObject({ code: "endpoint-changed" });
  expect(await stored("new")).toEqual({ client_id: GUID, client_secret: SECRET });
  expect(slots()).toBe(0);
});

test.each([
  ["the ID of a client secret", { client_secret: OTHER_GUID }, "ID, not its value"],
  ["nothing", { client_secret: "  " }, "no usable client secret"],
  ["a control character", { client_secret: "a\u0007b" }, "no usable client secret"],
  ["another shape", [7], "no usable client secret"],
])("a secret that is %s is refused, and the stored one stays", async (_, typed, say) => {
  const { credentials, type, put, stored, slots, log } = await bench();
  await put("mssp", { client_id: GUID, client_secret: "old" });
  type("mssp", typed);

  await expect(credentials.replace("mssp")).rejects.toMatchObject({ say: expect.stringContaining(say) });
  expect(await stored("mssp")).toMatchObject({ client_secret: "old" });
  expect(slots()).toBe(0);
  // The page that left it while no program ran reads no answer.
  expect(log.lines).toMatchObject([
    { level: "warn", fields: { credential: "mssp", failure: expect.any(String), say: expect.stringContaining(say) } },
  ]);
});

test("without a typed secret nothing is stored", async () => {
  const { credentials } = await bench();
  await expect(credentials.replace("mssp")).rejects.toMatchObject({ code: "secret-missing" });
});

test("a credential is deleted only when neither an input nor the list of customers uses it", async () => {
  const inputs = Object.fromEntries(Array.from({ length: 7 }, (_, at) => [`customer-${at}`, "mssp"]));
  const { credentials, put, stored, changed } = await bench({ inputs, homeApp: "home" });
  for (const name of ["mssp", "home", "old"]) await put(name, { client_id: GUID, client_secret: "s" });

  await expect(credentials.remove("mssp")).rejects.toMatchObject({
    say: expect.stringContaining("customer-0, customer-1, customer-2, customer-3, customer-4 and 2 more"),
  });
  await expect(credentials.remove("home")).rejects.toMatchObject({
    say: expect.stringContaining("discover_credential"),
  });
  await credentials.remove("old");
  await credentials.remove("old");

  expect([await stored("mssp"), await stored("home"), await stored("old")]).toEqual([
    expect.anything(),
    expect.anything(),
    undefined,
  ]);
  expect(changed).toEqual(["credential.old", "credential.old"]);
});
