import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd } from "../../../test/harness/fakes/splunkd-rest.ts";
import { sealed } from "../../model/sealed.ts";
import { credentialId, customerSecretId, PasswordStore } from "./passwords.ts";
import { Splunkd } from "./splunkd.ts";

const FINGERPRINT = `v1.${"a".repeat(64)}.111111.222222.333333.444444.555555.666666`;

function connect(fake: FakeSplunkd, more: Partial<ConstructorParameters<typeof Splunkd>[0]> = {}): Splunkd {
  return new Splunkd({
    http: fake,
    clock: new FakeClock(T0, { pauses: "pass" }),
    serverUri: "https://127.0.0.1:8089",
    sessionKey: sealed("key-1"),
    splunkdCaFile: undefined,
    splunkHome: "/opt/splunk",
    ...more,
  });
}

const read = (fake: FakeSplunkd) =>
  PasswordStore.read(connect(fake), new FakeClock(T0, { pauses: "pass" }), FakeRandom.always());
const opened = (store: PasswordStore, id: Parameters<PasswordStore["get"]>[0]) =>
  store.get(id)?.value.open((value) => value);

describe("a secret of any length and content survives the store", () => {
  const id = customerSecretId("Müller & Söhne: a/b", "refresh_token");

  test("whatever it is", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: anyCharacter, maxLength: 2000 }), async (secret) => {
        const fake = new FakeSplunkd();
        await (await read(fake)).put(id, sealed(secret), FINGERPRINT);
        expect(opened(await read(fake), id)).toBe(secret);
      }),
      { numRuns: 50 },
    );
  });

  test("no entry is longer than 255 characters, or holds white space or anything beyond ASCII", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(id, sealed(` Grüße\n${"0.AXo".repeat(900)} `), FINGERPRINT);
    expect(fake.rows.size).toBeGreaterThan(15);
    for (const [name, row] of fake.rows) {
      expect(row.password.length).toBeLessThanOrEqual(255);
      expect(row.password).toMatch(/^[!-~]+$/);
      expect(name).toMatch(/^defender_mssp:customer\.[A-Za-z0-9_~.-]+:$/);
    }
  });

  test("names that differ never share an entry", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: anyCharacter, maxLength: 200 }),
        fc.string({ unit: anyCharacter, maxLength: 200 }),
        (a, b) => {
          if (Buffer.from(a).equals(Buffer.from(b))) return;
          expect(customerSecretId(a, "client_secret")).not.toBe(customerSecretId(b, "client_secret"));
        },
      ),
    );
  });
});

describe("a reader sees the old secret or the new one, never a mixture", () => {
  const id = credentialId("main");

  test.each(Array.from({ length: 14 }, (_, k) => k))(
    "when the writer crashes at its request number %i",
    async (crashesAt) => {
      const fake = new FakeSplunkd();
      await (await read(fake)).put(id, sealed("old".repeat(400)), FINGERPRINT);
      const store = await read(fake);
      const before = fake.requests.length;
      const send = fake.send.bind(fake);
      fake.send = async (request) => {
        if (fake.requests.length - before >= crashesAt) throw new Error("killed");
        return send(request);
      };
      await store.put(id, sealed("new".repeat(400)), FINGERPRINT).catch(() => {});
      fake.send = send;
      expect(["old".repeat(400), "new".repeat(400)]).toContain(opened(await read(fake), id));
    },
  );

  test("a rotation leaves nothing of the old generation behind", async () => {
    const fake = new FakeSplunkd();
    const store = await read(fake);
    await store.put(id, sealed("x".repeat(3000)), FINGERPRINT);
    await store.put(id, sealed("short"), FINGERPRINT);
    expect(fake.rows.size).toBe(2);
    await store.remove(id);
    expect(fake.rows.size).toBe(0);
  });

  test("a missing or altered chunk is damage, and says what to do", async () => {
    for (const spoil of [
      (fake: FakeSplunkd, name: string) => fake.rows.delete(name),
      (fake: FakeSplunkd, name: string) => (fake.rows.get(name)!.password = "altered"),
    ]) {
      const fake = new FakeSplunkd();
      await (await read(fake)).put(id, sealed("x".repeat(600)), FINGERPRINT);
      spoil(fake, [...fake.rows.keys()].find((name) => name.endsWith(".2:"))!);
      const store = await read(fake);
      expect(() => store.get(id)).toThrow(
        expect.objectContaining({
          code: "secret-damaged",
          nextStep: "Store it again with `defender_mssp credential set NAME --to splunk`.",
        }),
      );
    }
  });
});

describe("the list", () => {
  test("is read to its end, whatever page splunkd makes of it", async () => {
    const fake = new FakeSplunkd();
    const store = await read(fake);
    for (let i = 0; i < 40; i += 1)
      await store.put(customerSecretId(`c${i}`, "client_secret"), sealed(`s${i}`), FINGERPRINT);
    fake.pageMax = 30;
    const again = await read(fake);
    for (let i = 0; i < 40; i += 1) expect(opened(again, customerSecretId(`c${i}`, "client_secret"))).toBe(`s${i}`);
  });

  test("entries of another app or realm are ignored", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(credentialId("main"), sealed("planted"), FINGERPRINT);
    const foreign = new FakeSplunkd();
    for (const [name, row] of fake.rows)
      foreign.add("search", row.realm, name.slice(row.realm.length + 1, -1), row.password);
    expect((await read(foreign)).get(credentialId("main"))).toBeUndefined();
  });
});

describe("splunkd's refusals", () => {
  test.each([
    [401, "splunkd-session-refused", 1],
    [403, "splunkd-forbidden", 1],
    [503, "splunkd-busy", 6],
    [404, "splunkd-answer", 1],
  ])("%i is %s", async (status, code, requests) => {
    const fake = new FakeSplunkd();
    fake.refusals.push(...Array.from({ length: 9 }, () => status));
    await expect(read(fake)).rejects.toMatchObject({ code, actor: "operator" });
    expect(fake.requests).toHaveLength(requests);
  });

  test("503 while splunkd starts is waited out", async () => {
    const fake = new FakeSplunkd();
    fake.refusals.push(503, 503);
    await expect(read(fake)).resolves.toBeDefined();
  });
});

describe("the session key goes to this machine or to a verified host, never through a proxy", () => {
  test.each([
    [
      "https://127.0.0.1:8089",
      undefined,
      { direct: true, caFile: "/opt/splunk/etc/auth/cacert.pem", loopbackCertificate: true },
    ],
    ["https://localhost:8089/", "/ca.pem", { direct: true, caFile: "/ca.pem", loopbackCertificate: true }],
    [
      "https://[::1]:8089",
      undefined,
      { direct: true, caFile: "/opt/splunk/etc/auth/cacert.pem", loopbackCertificate: true },
    ],
    ["https://splunk.example.com:8089", "/ca.pem", { direct: true, caFile: "/ca.pem" }],
    ["http://127.0.0.1:8089", undefined, { direct: true }],
  ])("%s", async (serverUri, splunkdCaFile, route) => {
    const fake = new FakeSplunkd();
    await connect(fake, { serverUri, splunkdCaFile }).get("/services/server/info");
    expect(fake.requests[0]?.route).toEqual(route);
    expect(fake.requests[0]?.headers["authorization"]).toBe("Splunk key-1");
  });

  test.each([
    ["https://splunk.example.com:8089", undefined, "splunkd-untrusted"],
    ["http://splunk.example.com:8089", "/ca.pem", "splunkd-untrusted"],
    ["https://127.0.0.1.example.com:8089", undefined, "splunkd-untrusted"],
    ["", undefined, "splunkd-unnamed"],
  ])("%s is not asked", (serverUri, splunkdCaFile, code) => {
    expect(() => connect(new FakeSplunkd(), { serverUri, splunkdCaFile })).toThrow(expect.objectContaining({ code }));
  });

  test("without a key nothing is asked", () => {
    expect(() => connect(new FakeSplunkd(), { sessionKey: undefined })).toThrow(
      expect.objectContaining({ code: "session-key-missing" }),
    );
  });
});

test("no failure repeats what splunkd answered", async () => {
  const fake = new FakeSplunkd();
  fake.send = async () => ({
    status: 400,
    headers: {},
    body: (async function* () {})(),
    text: async () => "password=hunter2",
    discard: async () => {},
  });
  await expect(read(fake)).rejects.not.toThrow("hunter2");
  expect(JSON.stringify(new FakeLog().lines)).toBe("[]");
});
