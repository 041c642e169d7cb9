import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import type { FileRule } from "../../config/settings.ts";
import { MASK, parseStanzas } from "../../config/settings.ts";
import { endpointBinding } from "../../model/endpoint-binding.ts";
import { Failure } from "../../model/failure.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import { storeAndMask } from "./masking.ts";
import { credentialId, customerSecretId, PasswordStore } from "./passwords.ts";
import type { SplunkStanza } from "./run-document.ts";
import type { SecretPorts } from "./secrets.ts";
import { resolveSecrets } from "./secrets.ts";
import { splunkVault } from "./vault.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const FILES: Record<string, string> = {
  "/ca.pem": "certificate one",
  "/other.pem": "certificate two",
  "/closed.pem": "",
};
const readBytes = async (file: string) => (file in FILES ? new TextEncoder().encode(FILES[file]) : undefined);
const files: FileRule = {
  files: {
    look: (file) =>
      file in FILES ? { kind: "file", realPath: file, openToOthers: file.includes("open") } : { kind: "missing" },
  },
  roots: ["/auth"],
};
const ports: SecretPorts = {
  readBytes,
  files,
  fingerprintOf: endpointBinding({
    readFile(path) {
      const text = FILES[path];
      if (text === undefined || path.includes("closed")) throw new Error("EACCES: permission denied");
      return new TextEncoder().encode(text);
    },
    sha256Hex: (bytes) => createHash("sha256").update(bytes).digest("hex"),
  }),
};
const open = (secret: Sealed | undefined) => secret?.open((value) => value);

/** As inputs.conf has it. */
type TypedStanza = Omit<SplunkStanza, "values"> & { readonly values: Readonly<Record<string, string>> };

function stanzaOf(name: string, values: Record<string, string>, app = "TA_defender_mssp"): TypedStanza {
  return {
    fullName: `defender_mssp://${name}`,
    name,
    app,
    values: { tenant_id: TENANT, client_id: CLIENT, ...values },
  };
}

function sealedValues(values: Readonly<Record<string, string>>): SplunkStanza["values"] {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, sealed(value)]));
}

/** One start of the process with these inputs. */
async function start(fake: FakeSplunkd, raw: readonly TypedStanza[]) {
  const clock = new FakeClock(T0, { pauses: "pass" });
  const log = new FakeLog();
  for (const { name, values } of raw) fake.inputs.set(name, { ...values });
  const splunkd = splunkdAt(fake, clock);
  const store = await PasswordStore.read(splunkd, clock, FakeRandom.always());
  const parsed = parseStanzas(raw, { host: "splunk", nowMs: clock.nowMs() });
  expect(parsed.problems).toEqual([]);
  const resolution = await resolveSecrets(parsed.stanzas, parsed.masked, store, undefined, ports);
  const finish = () =>
    storeAndMask(resolution.ready, {
      found: new Map(raw.map((one) => [one.name, { ...one, values: sealedValues(one.values) }])),
      store,
      splunkd,
      clock,
      log,
      stop: new AbortController().signal,
    });
  return { ...resolution, store, splunkd, log, clock, finish };
}

/** What the input looks like after splunkd took our edits. */
function edited(fake: FakeSplunkd, raw: TypedStanza): TypedStanza {
  const mine = fake.edits.filter((edit) => edit.path.endsWith(encodeURIComponent(raw.name)));
  return { ...raw, values: Object.assign({}, raw.values, ...mine.map((edit) => edit.form)) as Record<string, string> };
}

describe("a secret typed into the form", () => {
  test("is used, stored, masked, and found again at the next start", async () => {
    const fake = new FakeSplunkd();
    const typed = stanzaOf("Müller & Söhne", { client_secret: " 0123 ", refresh_token: "0.AXo".repeat(400) }, "search");

    const first = await start(fake, [typed]);
    expect(open(first.ready[0]?.stanza.clientSecret)).toBe(" 0123 ");
    await first.finish();

    const masked = edited(fake, typed);
    expect(masked.values).toMatchObject({ client_secret: MASK, refresh_token: MASK });
    expect(fake.edits).toEqual([
      {
        path: `/servicesNS/nobody/search/data/inputs/defender_mssp/${encodeURIComponent("Müller & Söhne")}`,
        form: { client_secret: MASK, refresh_token: MASK },
      },
    ]);

    const second = await start(fake, [masked]);
    expect(second.refused).toEqual([]);
    expect(open(second.ready[0]?.stanza.clientSecret)).toBe(" 0123 ");
    expect(open(second.ready[0]?.stanza.refreshToken)).toBe("0.AXo".repeat(400));
    await second.finish();
    expect(fake.edits).toHaveLength(1);
  });

  test("all are stored before the first is masked", async () => {
    const fake = new FakeSplunkd();
    const { finish } = await start(
      fake,
      ["a", "b", "c"].map((name) => stanzaOf(name, { client_secret: `key of ${name}` })),
    );
    await finish();
    const kinds = fake.requests.flatMap((request) =>
      request.method !== "POST" ? [] : [request.url.includes("/data/inputs/") ? "mask" : "store"],
    );
    expect(kinds.lastIndexOf("store")).toBeLessThan(kinds.indexOf("mask"));
    expect(kinds.filter((kind) => kind === "mask")).toHaveLength(3);
  });

  test("that cannot be stored is not masked, still used, and told without the secret", async () => {
    const fake = new FakeSplunkd();
    fake.passwordMax = 10;
    const { ready, finish, log } = await start(fake, [stanzaOf("a", { client_secret: "hunter2-hunter2" })]);
    await finish();
    expect(ready).toHaveLength(1);
    expect(fake.edits).toEqual([]);
    expect(log.lines).toEqual([
      expect.objectContaining({
        level: "error",
        fields: expect.objectContaining({ customer: "a", failure: "splunkd-answer" }),
      }),
    ]);
    expect(inspect([ready, log.lines], { depth: 9 })).not.toContain("hunter2");
  });

  test("that was typed again meanwhile is not masked away", async () => {
    const fake = new FakeSplunkd();
    const { finish } = await start(fake, [stanzaOf("a", { client_secret: "old" })]);
    fake.inputs.set("a", { client_secret: "typed a moment ago" });
    await finish();
    expect(fake.edits).toEqual([]);
  });

  test("that is typed while splunkd is about to write our mask is stored all the same, and named without being shown", async () => {
    const fake = new FakeSplunkd();
    fake.validating = async (name) => {
      fake.inputs.set(name, { client_secret: "typed in between" });
      const seen = fake.requests.length;
      while (fake.requests.length === seen) await new Promise((resolve) => setImmediate(resolve));
    };
    const { finish, log } = await start(fake, [stanzaOf("a", { client_secret: "old" })]);
    await finish();
    expect(open((await start(fake, [stanzaOf("a", { client_secret: MASK })])).ready[0]?.stanza.clientSecret)).toBe(
      "typed in between",
    );
    expect(log.lines.map((line) => line.message)).toContain(
      "a secret typed while the previous one was being masked is stored too",
    );
    expect(inspect(log.lines, { depth: 9 })).not.toContain("typed in between");
  });

  test("that is typed after splunkd wrote our mask is left to the restart that follows, and not reported as stored", async () => {
    const fake = new FakeSplunkd();
    fake.edited = () => fake.inputs.set("a", { client_secret: "typed afterwards" });
    const { finish, log, store } = await start(fake, [stanzaOf("a", { client_secret: "old" })]);
    await finish();
    expect(open(store.get(customerSecretId("a", "client_secret"))?.value)).toBe("old");
    expect(fake.inputs.get("a")).toEqual({ client_secret: "typed afterwards" });
    expect(log.lines.map((line) => line.message)).toEqual(["a secret typed into an input is stored and masked"]);
  });

  test("is masked without touching a setting that somebody changes at the same time", async () => {
    const fake = new FakeSplunkd();
    const { finish } = await start(fake, [stanzaOf("a", { client_secret: "key" })]);
    fake.validating = async (name) => {
      fake.inputs.set(name, { ...fake.inputs.get(name), client_id: "another-client" });
    };
    await finish();
    expect(fake.edits.map((edit) => edit.form)).toEqual([{ client_secret: MASK }]);
    expect(fake.inputs.get("a")).toMatchObject({ client_id: "another-client", client_secret: MASK });
  });

  test("that another inputs.conf sets is edited once a day only, because each edit restarts the program", async () => {
    const fake = new FakeSplunkd();
    fake.shadowed.add("client_secret");
    const typed = stanzaOf("a", { client_secret: "key" });
    const first = await start(fake, [typed]);
    await first.finish();
    expect(fake.edits).toHaveLength(1);
    const second = await start(fake, [typed]);
    await second.finish();
    expect(fake.edits).toHaveLength(1);
    for (const { log } of [first, second])
      expect(log.lines).toEqual([
        expect.objectContaining({
          level: "error",
          message: "a secret is stored, but another inputs.conf sets it in clear text, so splunkd cannot mask it",
        }),
      ]);
    const later = await start(fake, [typed]);
    later.clock.now += 25 * 3_600_000;
    await later.finish();
    expect(fake.edits).toHaveLength(2);
  });

  test("that is typed again over a stored one wins", async () => {
    const fake = new FakeSplunkd();
    await (await start(fake, [stanzaOf("a", { client_secret: "old" })])).finish();
    await (await start(fake, [stanzaOf("a", { client_secret: "new" })])).finish();
    expect(open((await start(fake, [stanzaOf("a", { client_secret: MASK })])).ready[0]?.stanza.clientSecret)).toBe(
      "new",
    );
  });
});

describe("a stored secret goes only where it was typed for", () => {
  const typedFor = { ca_file: "/ca.pem", proxy: "http://proxy:8080" };
  async function stored(): Promise<FakeSplunkd> {
    const fake = new FakeSplunkd();
    await (await start(fake, [stanzaOf("a", { client_secret: "key", refresh_token: "token", ...typedFor })])).finish();
    return fake;
  }
  const masked = (values: Record<string, string>) =>
    stanzaOf("a", { client_secret: MASK, refresh_token: MASK, ...typedFor, ...values });

  test("unchanged, it is used", async () => {
    expect((await start(await stored(), [masked({})])).ready).toHaveLength(1);
  });

  test.each([
    ["login_url", { login_url: "https://login.evil.example" }],
    ["graph_url", { graph_url: "https://graph.evil.example" }],
    ["api_url", { api_url: "https://api.evil.example" }],
    ["siem_url", { siem_url: "https://siem.evil.example" }],
    ["partnercenter_url", { partnercenter_url: "https://partner.evil.example" }],
    ["proxy", { proxy: "http://evil.example:8080" }],
    ["proxy", { proxy: "" }],
    ["ca_file", { ca_file: "/other.pem" }],
    ["ca_file", { ca_file: "" }],
    ["login_url", { cloud: "gcc-high" }],
  ])("%s changed: the stanza gets no secret and says why (%j)", async (setting, values) => {
    const { ready, refused } = await start(await stored(), [
      masked(values),
      stanzaOf("b", { client_secret: "own", tenant_id: "b.example.com" }),
    ]);
    expect(refused).toHaveLength(1);
    expect(refused[0]?.failure).toMatchObject({ code: "endpoint-changed", actor: "operator" });
    expect(refused[0]?.failure.say).toContain(setting);
    expect(refused[0]?.stanza.clientSecret).toBeUndefined();
    expect(refused[0]?.stanza.refreshToken).toBeUndefined();
    expect(ready.map((one) => one.stanza.name)).toEqual(["b"]);
  });

  test("typing one secret again does not free the other", async () => {
    const { ready, refused } = await start(await stored(), [
      masked({ login_url: "https://login.evil.example", client_secret: "typed by the thief" }),
    ]);
    expect(ready).toEqual([]);
    expect(refused[0]?.failure.code).toBe("endpoint-changed");
  });

  test("a ca_file that cannot be read refuses its customer with its own failure and no other customer", async () => {
    const { ready, refused, finish, store } = await start(new FakeSplunkd(), [
      stanzaOf("a", { client_secret: "typed", ca_file: "/closed.pem" }),
      stanzaOf("b", { client_secret: "typed", tenant_id: "b.example.com" }),
    ]);
    await finish();

    expect(ready.map((one) => one.stanza.name)).toEqual(["b"]);
    expect(refused.map((one) => [one.stanza.name, one.failure.code, one.failure.say])).toEqual([
      ["a", "ca-file-unusable", "The file /closed.pem named in ca_file cannot be read."],
    ]);
    expect(store.get(customerSecretId("a", "client_secret"))).toBeUndefined();
  });

  test("a ca_file with the same content under another name is the same", async () => {
    FILES["/copy.pem"] = "certificate one";
    expect((await start(await stored(), [masked({ ca_file: "/copy.pem" })])).ready).toHaveLength(1);
  });
});

async function withCredential(credential: object, endpoints: Record<string, string> = {}): Promise<FakeSplunkd> {
  const fake = new FakeSplunkd();
  const { store } = await start(fake, []);
  const [typedFor] = parseStanzas([stanzaOf("x", { client_secret: "x", ...endpoints })], {
    host: "splunk",
    nowMs: 0,
  }).stanzas;
  await store.put(credentialId("main"), sealed(JSON.stringify(credential)), ports.fingerprintOf(typedFor!));
  return fake;
}

describe("a shared credential", () => {
  const shared = { client_id: CLIENT, client_secret: "shared key" };

  test("gives client id and key to every customer that names it", async () => {
    const { ready } = await start(
      await withCredential(shared),
      ["a", "b"].map((name, i) => stanzaOf(name, { tenant_id: `${i}.example.com`, client_id: "", credential: "main" })),
    );
    expect(ready.map((one) => [one.stanza.clientId, open(one.stanza.clientSecret)])).toEqual([
      [CLIENT, "shared key"],
      [CLIENT, "shared key"],
    ]);
  });

  test("brings the end of its key along, for the warnings; an own key has its own end", async () => {
    const ends = { ...shared, expires: "2027-11-24T00:00:00.000Z" };
    const { ready } = await start(await withCredential(ends), [
      stanzaOf("a", { credential: "main" }),
      stanzaOf("b", { tenant_id: "b.example.com", credential: "main", client_secret: "own key" }),
    ]);
    expect(ready.map((one) => one.stanza.clientSecretEndsMs)).toEqual([Date.UTC(2027, 10, 24), undefined]);
  });

  test("is overridden by the customer's own key", async () => {
    const { ready } = await start(await withCredential(shared), [
      stanzaOf("a", { credential: "main", client_secret: "own key" }),
    ]);
    expect(open(ready[0]?.stanza.clientSecret)).toBe("own key");
  });

  test("goes only where it was set for", async () => {
    const { refused } = await start(await withCredential(shared), [
      stanzaOf("a", { credential: "main", graph_url: "https://evil.example" }),
    ]);
    expect(refused[0]?.failure).toMatchObject({ code: "endpoint-changed", say: expect.stringContaining("graph_url") });
  });

  test("that is not stored is named", async () => {
    const { refused } = await start(new FakeSplunkd(), [stanzaOf("a", { credential: "main" })]);
    expect(refused[0]?.failure).toMatchObject({
      code: "credential-missing",
      nextStep: "Store it with `defender_mssp credential set main --to splunk`, or set another name in `credential`.",
    });
  });
});

describe("a customer without a usable secret is named with the reason, and the others are collected", () => {
  test.each([
    [{ client_secret: MASK }, "secret-missing", "mask"],
    [{}, "secret-missing", "no client secret, certificate, assertion or refresh token"],
    [{ auth: "refresh_token", client_secret: "x" }, "secret-missing", "has no refresh token"],
  ])("%j", async (values, code, part) => {
    const { ready, refused } = await start(new FakeSplunkd(), [
      stanzaOf("a", values),
      stanzaOf("b", { client_secret: "own", tenant_id: "b.example.com" }),
    ]);
    expect(refused[0]?.failure).toMatchObject({ code, say: expect.stringContaining(part) });
    expect(ready).toHaveLength(1);
  });

  test("an unreadable store stops only those that need it", async () => {
    const parsed = parseStanzas(
      [stanzaOf("a", { client_secret: MASK }), stanzaOf("b", { client_secret: "clear", tenant_id: "b.example.com" })],
      { host: "splunk", nowMs: 0 },
    );
    const busy = await PasswordStore.read(
      splunkdAt(Object.assign(new FakeSplunkd(), { refusals: [401] }), new FakeClock(T0, { pauses: "pass" })),
      new FakeClock(T0, { pauses: "pass" }),
      FakeRandom.always(),
    ).catch((error: unknown) => error);
    const { ready, refused } = await resolveSecrets(parsed.stanzas, parsed.masked, undefined, busy as never, ports);
    expect(ready.map((one) => one.stanza.name)).toEqual(["b"]);
    expect(refused.map((one) => one.failure.code)).toEqual(["splunkd-session-refused"]);
  });
});

async function vault() {
  const fake = new FakeSplunkd();
  const begun = await start(fake, []);
  const id = customerSecretId("a", "refresh_token");
  const first = await begun.store.put(id, sealed("first"), "v1");
  const made = splunkVault({
    stanza: "a",
    fingerprint: "v1",
    first: first.value,
    storedAtMs: first.storedAtMs,
    store: begun.store,
    clock: begun.clock,
    random: FakeRandom.always(),
    log: begun.log,
  });
  return { ...begun, fake, made, stored: () => open(begun.store.get(id)?.value) };
}

describe("a rotated refresh token", () => {
  test("is used at once and stored when the stored one is a day old, jittered by up to a quarter", async () => {
    const { made, stored, clock } = await vault();
    await made.store(sealed("second"), { refused: false });
    expect(open(await made.current())).toBe("second");
    expect(stored()).toBe("first");

    clock.now += 26 * 3_600_000;
    await made.store(sealed("third"), { refused: false });
    expect(stored()).toBe("first");

    clock.now += 2 * 3_600_000;
    await made.store(sealed("fourth"), { refused: false });
    expect(stored()).toBe("fourth");
  });

  test("is stored at once when the stored one was refused", async () => {
    const { made, stored } = await vault();
    await made.store(sealed("second"), { refused: true });
    expect(stored()).toBe("second");
  });

  test("that cannot be stored is a warning, unless the stored one is of no use any more", async () => {
    const { made, clock, fake, log } = await vault();
    clock.now += 48 * 3_600_000;
    fake.refusals.push(403);
    await made.store(sealed("second"), { refused: false });
    expect(log.lines).toEqual([expect.objectContaining({ level: "warn" })]);

    fake.refusals.push(403);
    await expect(made.store(sealed("third"), { refused: true })).rejects.toMatchObject({ code: "splunkd-forbidden" });
  });
});

describe("a secret from a file, where splunkd offers no credential store", () => {
  FILES["/auth"] = "";
  FILES["/auth/key"] = "from file\n";
  FILES["/auth/empty"] = "\n";
  FILES["/auth/id"] = "9f1d3b60-2c4e-4a58-8a34-5d1f0c6b7e92\n";
  FILES["/auth/open"] = "from file";
  FILES["/etc/shadow"] = "root";

  test("is read, never stored and never masked", async () => {
    const fake = new FakeSplunkd();
    const { ready, finish } = await start(fake, [stanzaOf("a", { client_secret: "file:/auth/key" })]);
    await finish();
    expect(open(ready[0]?.stanza.clientSecret)).toBe("from file");
    expect([fake.rows.size, fake.edits]).toEqual([0, []]);
  });

  test("is used with partnercenter_url set, because it is never sent there", async () => {
    const values = { client_secret: "file:/auth/key", partnercenter_url: "https://partner.example" };
    const { ready } = await start(new FakeSplunkd(), [stanzaOf("a", values)]);
    expect(open(ready[0]?.stanza.clientSecret)).toBe("from file");
  });

  test.each([
    [{ client_secret: "file:/etc/shadow" }, "is outside the allowed folders"],
    [{ client_secret: "file:/auth/../etc/shadow" }, "is outside the allowed folders"],
    [{ client_secret: "file:/auth/gone" }, "does not exist"],
    [{ client_secret: "file:/auth/empty" }, "is empty"],
    [{ client_secret: "file:/auth/open" }, "other accounts can read"],
    [{ client_secret: "file:/auth/id" }, "contains the ID of the client secret, not its value"],
    [{ client_secret: "file:/auth/key", login_url: "https://login.evil.example" }, "only to the cloud's own addresses"],
    [{ client_secret: "file:/auth/key", graph_url: "https://graph.evil.example" }, "only to the cloud's own addresses"],
  ])("%j is refused", async (values, part) => {
    const { ready, refused } = await start(new FakeSplunkd(), [stanzaOf("a", values)]);
    expect(ready).toEqual([]);
    expect(refused[0]?.failure).toMatchObject({ code: "secret-file-refused", say: expect.stringContaining(part) });
  });
});

describe("a certificate, which is a file and not typed", () => {
  const withCertificate = (values: Record<string, string> = {}) =>
    stanzaOf("a", { certificate: "/auth/app.pem", ...values });

  test("is bound to the addresses of its first use, and once only", async () => {
    const fake = new FakeSplunkd();
    await (await start(fake, [withCertificate()])).finish();
    expect(fake.edits).toEqual([]);
    const posts = fake.requests.filter((request) => request.method === "POST").length;
    const again = await start(fake, [withCertificate()]);
    await again.finish();
    expect(again.ready[0]?.stanza.certificate).toBe("/auth/app.pem");
    expect(fake.requests.filter((request) => request.method === "POST")).toHaveLength(posts);
  });

  test.each([
    ["login_url", { login_url: "https://login.evil.example" }],
    ["graph_url", { graph_url: "https://graph.evil.example" }],
    ["proxy", { proxy: "http://evil.example:8080" }],
  ])("does not serve another %s afterwards", async (setting, values) => {
    const fake = new FakeSplunkd();
    await (await start(fake, [withCertificate()])).finish();
    const { ready, refused } = await start(fake, [withCertificate(values)]);
    expect(ready).toEqual([]);
    expect(refused[0]?.failure).toMatchObject({
      code: "endpoint-changed",
      say: `${setting} changed since certificate was first used, so it is not used.`,
    });
  });

  test("serves the cloud's own addresses only where no binding can be stored", async () => {
    const parsed = parseStanzas(
      [
        withCertificate(),
        stanzaOf("b", {
          certificate: "/auth/app.pem",
          tenant_id: "b.example.com",
          graph_url: "https://graph.evil.example",
        }),
      ],
      { host: "splunk", nowMs: 0 },
    );
    const unreadable = new Failure("splunkd-unreachable", { actor: "operator", retry: { when: "soon" }, say: "no" });
    const { ready, refused } = await resolveSecrets(parsed.stanzas, parsed.masked, undefined, unreadable, ports);
    expect(ready.map((one) => one.stanza.name)).toEqual(["a"]);
    expect(refused.map((one) => one.failure.code)).toEqual(["splunkd-unreachable"]);
  });
});

describe("an assertion", () => {
  const assertion = "managed-identity:77777777-0000-4000-8000-000000000000";

  test("needs nothing from the store, and no client secret that was stored before it", async () => {
    const fake = new FakeSplunkd();
    await (await start(fake, [stanzaOf("a", { client_secret: "old", proxy: "http://old.example:8080" })])).finish();
    const { ready, refused } = await start(fake, [stanzaOf("a", { assertion })]);
    expect(refused).toEqual([]);
    expect(ready[0]?.stanza.assertion).toBe(assertion);
    expect(ready[0]?.stanza.clientSecret).toBeUndefined();
  });

  test.each(["login_url", "graph_url"])(
    "of an input is sent to the cloud's own addresses only, so that whoever edits %s gets nothing",
    async (setting) => {
      const { ready, refused } = await start(new FakeSplunkd(), [
        stanzaOf("a", { assertion, [setting]: "https://evil.example" }),
      ]);
      expect(ready).toEqual([]);
      expect(refused[0]?.failure).toMatchObject({ code: "endpoint-changed", actor: "operator" });
    },
  );

  test("of a shared credential goes to the addresses for which it was stored, and to no others", async () => {
    const fake = new FakeSplunkd();
    const gateway = { login_url: "https://gateway.example" };
    const customer = (name: string, values: Record<string, string>) =>
      stanzaOf(name, { credential: "mssp", client_id: "", tenant_id: `${name}.example.com`, ...values });
    const first = await start(fake, []);
    const [bound] = parseStanzas([{ name: "x", values: customer("x", gateway).values }], {
      host: "splunk",
      nowMs: 0,
    }).stanzas;
    const entry = sealed(JSON.stringify({ client_id: CLIENT, assertion }));
    await first.store.put(credentialId("mssp"), entry, ports.fingerprintOf(bound!));

    const { ready, refused } = await start(fake, [customer("a", gateway), customer("b", {})]);

    expect(ready.map(({ stanza }) => [stanza.name, stanza.clientId, stanza.assertion])).toEqual([
      ["a", CLIENT, assertion],
    ]);
    expect(refused.map(({ stanza, failure }) => [stanza.name, failure.code])).toEqual([["b", "endpoint-changed"]]);
  });

  test("that a stored credential does not name in a known form is damage, not silence", async () => {
    const fake = new FakeSplunkd();
    const first = await start(fake, []);
    const raw = stanzaOf("a", { credential: "mssp", client_id: "" });
    const [stanza] = parseStanzas([{ name: "a", values: raw.values }], { host: "splunk", nowMs: 0 }).stanzas;
    const entry = sealed(JSON.stringify({ client_id: CLIENT, assertion: "vault:x" }));
    await first.store.put(credentialId("mssp"), entry, ports.fingerprintOf(stanza!));
    const { refused } = await start(fake, [raw]);
    expect(refused[0]?.failure.code).toBe("secret-damaged");
  });
});
