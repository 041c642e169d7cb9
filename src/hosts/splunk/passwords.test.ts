import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { sealed } from "../../model/sealed.ts";
import { credentialId, customerSecretId, PasswordStore } from "./passwords.ts";
import type { Splunkd } from "./splunkd.ts";

const FINGERPRINT = `v1.${"a".repeat(64)}.111111.222222.333333.444444.555555.666666`;

function connect(fake: FakeSplunkd, more: Partial<ConstructorParameters<typeof Splunkd>[0]> = {}): Splunkd {
  return splunkdAt(fake, new FakeClock(T0, { pauses: "pass" }), more);
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
      expect(name).toMatch(/^defender_mssp:(changes|customer\.[A-Za-z0-9_~.-]+):$/);
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
    const ofSecrets = () => [...fake.rows.keys()].filter((name) => name !== "defender_mssp:changes:");
    expect(ofSecrets()).toHaveLength(2);
    await store.remove(id);
    expect(ofSecrets()).toEqual([]);
  });

  test("a missing or altered chunk is damage, and says what to do", async () => {
    const dotted = credentialId("app.main");
    for (const spoil of [
      (fake: FakeSplunkd, name: string) => fake.rows.delete(name),
      (fake: FakeSplunkd, name: string) => (fake.rows.get(name)!.password = "altered"),
    ]) {
      const fake = new FakeSplunkd();
      await (await read(fake)).put(dotted, sealed("x".repeat(600)), FINGERPRINT);
      spoil(fake, [...fake.rows.keys()].find((name) => name.endsWith(".2:"))!);
      const store = await read(fake);
      expect(() => store.get(dotted)).toThrow(
        expect.objectContaining({
          code: "secret-damaged",
          nextStep: "Store it again with `defender_mssp credential set app.main --to splunk`.",
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
    await connect(fake, { serverUri, splunkdCaFile, sessionKey: sealed("key-1") }).get("/services/server/info");
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

describe("another process's change", () => {
  const secret = credentialId("main");
  const token = customerSecretId("contoso", "refresh_token");
  const ANNOUNCED_ONLY = { atLeastEveryMs: Number.POSITIVE_INFINITY };
  /** The requests that `work` makes, as method and entry. */
  const requestsOf = async (fake: FakeSplunkd, work: () => Promise<unknown>): Promise<string[]> => {
    const before = fake.requests.length;
    await work();
    return fake.requests.slice(before).map(({ method, url }) => {
      const { pathname, searchParams } = new URL(url);
      const entry = decodeURIComponent(pathname.split("/").slice(6).join("/"));
      return `${method} ${entry === "" ? `page ${searchParams.get("offset")}` : entry}`;
    });
  };

  test("is found by one request while there is none, and by reading the store again when there is one", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(token, sealed("first"), FINGERPRINT);
    const reader = await read(fake);
    const look = () => reader.refresh(ANNOUNCED_ONLY);
    expect(await requestsOf(fake, look)).toEqual(["GET defender_mssp:changes:"]);

    await (await read(fake)).put(secret, sealed("typed"), FINGERPRINT);
    expect(await requestsOf(fake, look)).toEqual(["GET defender_mssp:changes:", "GET page 0"]);
    expect(opened(reader, secret)).toBe("typed");

    await (await read(fake)).put(secret, sealed("corrected"), FINGERPRINT);
    expect([...(await look())]).toEqual([secret]);
    expect(opened(reader, secret)).toBe("corrected");
    expect(await requestsOf(fake, look)).toEqual(["GET defender_mssp:changes:"]);
  });

  test.each<[string, (store: PasswordStore) => Promise<unknown>]>([
    ["a secret that is stored", (store) => store.put(secret, sealed("new"), FINGERPRINT)],
    ["a secret that is removed", (store) => store.remove(token)],
    [
      "several that are stored together",
      (store) =>
        store.inOneChange(async () => {
          await store.put(secret, sealed("new"), FINGERPRINT);
          await store.put(token, sealed("new"), FINGERPRINT);
        }),
    ],
  ])("is announced by every writer, after its writes: %s", async (_, write) => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(token, sealed("first"), FINGERPRINT);
    const announced = () => fake.rows.get("defender_mssp:changes:")?.password;
    const before = announced();
    const writer = await read(fake);
    const requests = await requestsOf(fake, () => write(writer));
    expect(announced()).not.toBe(before);
    expect(requests.slice(-2)).toEqual(["GET defender_mssp:changes:", "POST defender_mssp:changes:"]);
    expect(requests.filter((request) => request.includes("changes"))).toHaveLength(2);
  });

  test("is found although this process announced one of its own after it", async () => {
    const fake = new FakeSplunkd();
    const collector = await read(fake);
    await (await read(fake)).put(secret, sealed("typed"), FINGERPRINT);
    await collector.put(token, sealed("rotated"), FINGERPRINT);
    expect([...(await collector.refresh(ANNOUNCED_ONLY))]).toEqual([secret]);
  });

  test("is not seen in what this process wrote itself", async () => {
    const fake = new FakeSplunkd();
    const collector = await read(fake);
    await collector.put(token, sealed("rotated"), FINGERPRINT);
    expect(await requestsOf(fake, () => collector.refresh(ANNOUNCED_ONLY))).toEqual(["GET defender_mssp:changes:"]);
  });

  test("that nobody announced is found when the whole store is due", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(secret, sealed("old"), FINGERPRINT);
    const clock = new FakeClock();
    const reader = await PasswordStore.read(connect(fake), clock, FakeRandom.always());
    const announced = fake.rows.get("defender_mssp:changes:")?.password ?? "";
    await (await read(fake)).put(secret, sealed("by an older version"), FINGERPRINT);
    fake.add("TA_defender_mssp", "defender_mssp", "changes", announced);
    const look = () => reader.refresh({ atLeastEveryMs: 60_000 });
    clock.now += 30_000;
    expect(await requestsOf(fake, look)).toEqual(["GET defender_mssp:changes:"]);
    clock.now += 30_000;
    expect(await requestsOf(fake, look)).toEqual(["GET page 0"]);
    expect(opened(reader, secret)).toBe("by an older version");
  });

  test("is read once more when the store changed while it was read page by page", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(secret, sealed("x".repeat(2000)), FINGERPRINT);
    fake.pageMax = 3;
    const send = fake.send.bind(fake);
    let writes = 1;
    fake.send = async (request) => {
      const answer = await send(request);
      // After the first page, on which the last change stands.
      if (request.url.includes("offset=2") && writes-- > 0) {
        fake.send = send;
        await (await read(fake)).put(secret, sealed("y".repeat(2000)), FINGERPRINT);
      }
      return answer;
    };
    const reader = await read(fake);
    await reader.refresh(ANNOUNCED_ONLY);
    expect(opened(reader, secret)).toBe("y".repeat(2000));
    expect(await requestsOf(fake, () => reader.refresh(ANNOUNCED_ONLY))).toEqual(["GET defender_mssp:changes:"]);
  });

  test.each(["are taken from an earlier page", "come on an earlier page"])(
    "hides no secret when entries %s while the store is read page by page",
    async (what) => {
      const fake = new FakeSplunkd();
      for (const name of ["a", "b", "c", "d"])
        await (await read(fake)).put(credentialId(name), sealed(`of ${name}`), FINGERPRINT);
      for (const other of ["first", "second", "third"]) fake.add("other_app", "aaa", other, "x");
      // The entry of the changes is the last one of the first page, and a credential follows it.
      fake.pageMax = 4;
      const send = fake.send.bind(fake);
      let pages = 0;
      fake.send = async (request) => {
        const answer = await send(request);
        pages += 1;
        for (const other of pages === 1 ? ["first", "second"] : []) {
          if (what.startsWith("are taken")) fake.rows.delete(`aaa:${other}:`);
          else fake.add("other_app", "aaa", `before-${other}`, "x");
        }
        return answer;
      };
      const reader = await read(fake);
      const found = ["a", "b", "c", "d"].map((name) => opened(reader, credentialId(name)));
      expect(found).toEqual(["of a", "of b", "of c", "of d"]);
    },
  );

  test("is read to its end although its entries never stand still", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(secret, sealed("x".repeat(2000)), FINGERPRINT);
    fake.pageMax = 3;
    const send = fake.send.bind(fake);
    let n = 0;
    fake.send = async (request) => {
      const answer = await send(request);
      n += 1;
      fake.add("other_app", "aaa", `entry-${n}`, "x");
      return answer;
    };
    const reader = await read(fake);
    expect(n).toBeLessThan(500);
    expect(opened(reader, secret)).toBe("x".repeat(2000));
  });

  test("leaves the store as it was while splunkd is busy, without a second try", async () => {
    const fake = new FakeSplunkd();
    await (await read(fake)).put(secret, sealed("typed"), FINGERPRINT);
    const reader = await read(fake);
    fake.refusals.push(503);
    const requests = requestsOf(fake, () =>
      expect(reader.refresh(ANNOUNCED_ONLY)).rejects.toMatchObject({ code: "splunkd-busy" }),
    );
    expect(await requests).toEqual(["GET defender_mssp:changes:"]);
    expect(opened(reader, secret)).toBe("typed");
  });
});
