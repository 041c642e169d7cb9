import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { parseStanzas } from "../config/settings.ts";
import { Failure } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { FileStamps, realStampOf } from "../stores/disk/file-stamps.ts";
import { credentialEntryName, SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import { FileCredentialWatch, type ReadConfiguration } from "./credential-watch.ts";

const GUID = "11111111-2222-4333-8444-555555555555";
const SHARED = { credential: "main" };
const PROXY = "http://first.example.com:8080";
const NOBODY: ReadonlySet<string> = new Set();
const A: ReadonlySet<string> = new Set(["a"]);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "credential-watch-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Customers with these settings, beside a configuration file. */
function watching(first: Readonly<Record<string, Record<string, string>>>) {
  const log = new FakeLog();
  const clock = new FakeClock(T0, { pauses: "pass" });
  let readings = 0;
  const readFileSync = (...given: Parameters<typeof realDisk.readFileSync>) => {
    readings += 1;
    return realDisk.readFileSync(...given);
  };
  const disk = { ...realDisk, readFileSync: readFileSync as typeof realDisk.readFileSync };
  const files = new SecretFiles(folder, { ports: { disk, clock, platform: "linux" }, log });
  /** Of another process. */
  const others = new SecretFiles(folder, { ports: { disk, clock, platform: "linux" }, log });
  const tokenOf = (token: string) => ({ fingerprint: "v1", values: { refresh_token: sealed(token) }, notes: {} });
  const file = join(folder, "defender-mssp.properties");
  let written = first;
  let unreadable: Failure | undefined;
  const read = (): ReadConfiguration => {
    const stamps = new FileStamps(realStampOf);
    stamps.add(file);
    const raw = Object.entries(written).map(([name, values]) => ({
      name,
      values: { tenant_id: GUID, client_id: GUID, ...values },
    }));
    const { stanzas, refused } = parseStanzas(raw, { host: "arcsight", nowMs: T0 });
    return { stanzas, misconfigured: refused, stamps };
  };
  writeFileSync(file, "the first");
  const watch = new FileCredentialWatch({
    stateDir: folder,
    files,
    stampOf: realStampOf,
    disk: realDisk,
    configuration: read(),
    readAgain: async () => {
      readings += 1;
      if (unreadable) throw unreadable;
      return read();
    },
    log,
  });
  return {
    log,
    files,
    watch,
    readings: () => readings,
    edit: (changed: Readonly<Record<string, Record<string, string>>>) => {
      written = { ...written, ...changed };
      writeFileSync(file, JSON.stringify(written));
    },
    damage: (failure: Failure | undefined) => {
      unreadable = failure;
      writeFileSync(file, String(failure?.say));
    },
    look: async (failing = NOBODY) => (await watch.look(failing)).ready,
    names: async (failing = NOBODY) => (await watch.look(failing)).ready.map(({ name }) => name),
    set: (name: string, secret: string, notes: Readonly<Record<string, string>> = {}) =>
      files.write(credentialEntryName(name), { fingerprint: "v1", values: { client_secret: sealed(secret) }, notes }),
    acquire: (stanza: string, token: string) =>
      others.write(tokenEntryName(tenantIdFrom(GUID)!, stanza), tokenOf(token)),
    rotate: (stanza: string, token: string) => files.write(tokenEntryName(tenantIdFrom(GUID)!, stanza), tokenOf(token)),
  };
}

const secretOf = ([stanza]: readonly Stanza[]) => stanza?.clientSecret?.open((text) => text);

describe("a look for changed credentials beside files", () => {
  test("finds a shared credential that is stored for the first time, and one that is corrected", async () => {
    const { names, set } = watching({ a: SHARED, b: SHARED, c: { credential: "other" } });
    expect(await names()).toEqual([]);
    await set("main", "wrong");
    expect(await names()).toEqual(["a", "b"]);
    expect(await names()).toEqual([]);
    await set("main", "corrected");
    expect(await names()).toEqual(["a", "b"]);
  });

  test("finds those of customers that are not in the configuration, and only of those that are there now", async () => {
    const { watch, names, set } = watching({ a: { credential: "other" } });
    const { stanzas } = parseStanzas(
      ["x", "y"].map((name) => ({ name, values: { tenant_id: GUID, ...SHARED } })),
      { host: "arcsight", nowMs: T0 },
    );
    watch.alsoFor(stanzas);
    await set("main", "wrong");
    expect(await names()).toEqual(["x", "y"]);
    watch.alsoFor(stanzas.slice(1));
    await set("main", "corrected");
    expect(await names()).toEqual(["y"]);
  });

  test("reads no file while none changed, and a changed one once for all customers that share it", async () => {
    const { watch, readings, set } = watching({ a: SHARED, b: SHARED, c: SHARED });
    await set("main", "wrong");
    await watch.look(A);
    const before = readings();
    for (let n = 0; n < 4; n += 1) await watch.look(A);
    expect(readings()).toBe(before);
    await set("main", "corrected");
    await watch.look(A);
    expect(readings()).toBe(before + 1);
  });

  test("comes often enough for a change to count within 60 s", () => {
    expect(watching({ a: SHARED }).watch.everyMs).toBeLessThanOrEqual(30_000);
  });

  test("finds a certificate that was replaced, the customer's own and the shared credential's", async () => {
    const [own, shared] = [join(folder, "own.pem"), join(folder, "shared.pem")];
    writeFileSync(own, "old");
    const { names, set } = watching({ a: { certificate: own }, b: SHARED });
    await set("main", "", { certificate: shared });
    await names();
    writeFileSync(own, "replaced");
    expect(await names()).toEqual(["a"]);
    writeFileSync(shared, "there now");
    expect(await names()).toEqual(["b"]);
  });

  test("finds a token that the platform renewed, the customer's own and the shared credential's", async () => {
    const [own, shared] = [join(folder, "own.jwt"), join(folder, "shared.jwt")];
    writeFileSync(own, "old");
    const { names, set } = watching({
      a: { assertion: `file:${own}` },
      b: SHARED,
      c: { assertion: `managed-identity:${GUID}` },
    });
    await set("main", "", { assertion: `file:${shared}` });
    await names();
    writeFileSync(own, "renewed");
    expect(await names()).toEqual(["a"]);
    writeFileSync(shared, "there now");
    expect(await names()).toEqual(["b"]);
  });

  test("takes an assertion that took the place of a client secret", async () => {
    const { look, edit } = watching({ a: { client_secret: "old" } });
    edit({ a: { assertion: `managed-identity:${GUID}` } });
    const [stanza] = await look();
    expect(stanza?.assertion).toBe(`managed-identity:${GUID}`);
    expect(stanza?.clientSecret).toBeUndefined();
  });

  test("finds a CA file that can be read now", async () => {
    const ca_file = join(folder, "ca.pem");
    const { names } = watching({ a: { ca_file }, b: {} });
    writeFileSync(ca_file, "a certificate");
    expect(await names(A)).toEqual(["a"]);
  });

  test("finds the refresh token of a new sign-in for a customer that fails, and no rotated one of another", async () => {
    const { names, acquire } = watching({ a: { auth: "refresh_token" }, b: { auth: "refresh_token" } });
    expect(await names(A)).toEqual([]);
    await acquire("a", "first");
    await acquire("b", "rotated");
    expect(await names(A)).toEqual(["a"]);
    expect(await names(A)).toEqual([]);
    await acquire("a", "second one");
    await acquire("b", "rotated again");
    expect(await names(A)).toEqual(["a"]);
    expect(readdirSync(join(folder, "secrets"))).toHaveLength(2);
  });

  test("finds a refresh token that was stored between the failure and the first look", async () => {
    const { names, acquire } = watching({ a: { auth: "refresh_token" } });
    await acquire("a", "first");
    expect(await names()).toEqual([]);
    await acquire("a", "second one");
    expect(await names(A)).toEqual(["a"]);
    expect(await names(A)).toEqual([]);
  });

  test("finds no token that this collector stored itself, however often a refused customer is tried", async () => {
    const { names, acquire, rotate } = watching({ a: { auth: "refresh_token" } });
    await acquire("a", "first");
    expect(await names(A)).toEqual(["a"]);
    for (const token of ["rotated once", "rotated for the second time"]) {
      await rotate("a", token);
      expect(await names(A)).toEqual([]);
    }
    await acquire("a", "of a new sign-in");
    expect(await names(A)).toEqual(["a"]);
  });

  test("takes an edited secret of the configuration file, and nothing of customers that are the same", async () => {
    const { look, edit, log } = watching({ a: { client_secret: "wrong" }, b: { client_secret: "good" } });
    edit({ a: { client_secret: "corrected" } });
    const ready = await look();
    expect(ready.map(({ name }) => name)).toEqual(["a"]);
    expect(secretOf(ready)).toBe("corrected");
    expect(log.lines).toEqual([]);
  });

  test("takes a new client secret together with the new date on which it expires", async () => {
    const { look, edit, log } = watching({ a: { client_secret: "old", secret_expires: "2026-12-01" } });
    edit({ a: { client_secret: "new", secret_expires: "2027-12-01" } });
    const ready = await look();
    expect(secretOf(ready)).toBe("new");
    expect(ready[0]?.secretExpires).toBe(Date.parse("2027-12-01T00:00:00Z"));
    edit({ a: { client_secret: "new", secret_expires: "2028-12-01" } });
    expect((await look())[0]?.secretExpires).toBe(Date.parse("2028-12-01T00:00:00Z"));
    expect(log.lines).toEqual([]);
  });

  test("takes an edited secret beside another edited setting, which counts only after the next reading", async () => {
    const { look, edit, log } = watching({ a: { client_secret: "old", poll_seconds: "60" } });
    edit({ a: { client_secret: "new", poll_seconds: "300" } });
    const ready = await look();
    expect(secretOf(ready)).toBe("new");
    expect(ready[0]?.pollSeconds).toBe(60);
    expect(log.lines.map(({ message }) => message)).toEqual([
      "the configuration changed in more than its secrets; the rest counts after a restart, or a SIGHUP to `arcsight run`",
    ]);
    expect(await look()).toEqual([]);
  });

  test.each([
    ["another address", { a: { client_secret: "new", proxy: PROXY, graph_url: "https://graph.example.com" } }],
    ["another proxy", { a: { client_secret: "new", proxy: "http://proxy.example.com:8080" } }],
    ["another customer", { b: { client_secret: "new" } }],
  ])("leaves an edited configuration with %s to the next reading of it, and says so", async (_, changed) => {
    const { names, edit, log } = watching({ a: { client_secret: "old", proxy: PROXY } });
    edit(changed);
    expect(await names(A)).toEqual([]);
    expect(log.lines.map(({ message }) => message)).toEqual([
      "the configuration changed in more than its secrets; the rest counts after a restart, or a SIGHUP to `arcsight run`",
    ]);
  });

  test("keeps a customer's settings when the edited ones are not valid, and says so", async () => {
    const { look, edit, log } = watching({ a: { client_secret: "old" } });
    edit({ a: { client_secret: "new", poll_seconds: "0" } });
    expect(await look(A)).toEqual([]);
    expect(log.lines.map(({ message }) => message)).toEqual([
      "a customer's changed settings are not valid; the previous ones stay in use",
    ]);
    edit({ a: { client_secret: "newer" } });
    expect(secretOf(await look())).toBe("newer");
  });

  test("admits a customer whose settings were wrong, once they are right", async () => {
    const { names, edit, log } = watching({ a: { poll_seconds: "0" }, b: {} });
    expect(await names()).toEqual([]);
    edit({ a: { poll_seconds: "60" } });
    expect(await names()).toEqual(["a"]);
    expect(await names()).toEqual([]);
    expect(log.lines).toEqual([]);
  });

  test("says that an edited configuration cannot be read, and takes it once it can", async () => {
    const { look, edit, damage, log } = watching({ a: { client_secret: "wrong" } });
    damage(new Failure("settings", { actor: "operator", retry: { when: "never" }, say: "It cannot be read." }));
    expect(await look()).toEqual([]);
    expect(log.lines.map(({ message }) => message)).toEqual(["It cannot be read."]);
    damage(undefined);
    edit({ a: { client_secret: "corrected" } });
    expect(secretOf(await look())).toBe("corrected");
  });
});
