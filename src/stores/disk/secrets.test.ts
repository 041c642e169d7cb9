import * as fs from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { CONTOSO, diskPorts, diskThatFails, newFolder } from "../../../test/harness/fakes/disk.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { type Sealed, sealed } from "../../model/sealed.ts";
import type { Disk } from "./disk.ts";
import { credentialEntryName, FileTokenVault, SecretFiles } from "./secrets.ts";

const FINGERPRINT = "v1.whole.aaaaaa.bbbbbb.cccccc.dddddd.eeeeee.ffffff";
const OTHER = "v1.other.aaaaaa.bbbbbb.cccccc.dddddd.999999.ffffff";
const TYPED = "typed-kQz7Wm2Xv9Lb4Tn8Rj3Hd6Fs1Gp5Yc0Aq7Ue";
const ROTATED = "rotated-Pm4Xc8Vb2Nz6Lk1Jh5Gf9Ds3Aq7We0Rt4Y";

function vault(dir: string, given: { fingerprint?: string; typed?: Sealed; disk?: Disk } = {}): FileTokenVault {
  const files = new SecretFiles(dir, { ports: diskPorts(given.disk), log: new FakeLog() });
  return new FileTokenVault({
    files,
    tenantId: CONTOSO,
    stanza: "Contoso",
    fingerprint: given.fingerprint ?? FINGERPRINT,
    ...(given.typed ? { typed: given.typed } : {}),
    nowMs: () => 1_000,
  });
}

const read = async (from: FileTokenVault): Promise<string> => (await from.current()).open((text) => text);

describe("a rotated refresh token is safe before it is used", () => {
  test("it is found after a restart, in a file that only its owner reads", async () => {
    const dir = newFolder();
    await vault(dir, { typed: sealed(TYPED) }).store(sealed(ROTATED), { refused: false });
    expect(await read(vault(dir, { typed: sealed(TYPED) }))).toBe(ROTATED);
    const path = join(dir, "secrets", `${CONTOSO}.+contoso.token.json`);
    expect((fs.statSync(path).mode & 0o777).toString(8)).toBe("600");
    expect((fs.statSync(join(dir, "secrets")).mode & 0o777).toString(8)).toBe("700");
  });

  test("a crash at any call leaves the old or the new one", async () => {
    for (let at = 1; at <= 12; at += 1) {
      const dir = newFolder();
      await vault(dir).store(sealed("before"), { refused: false });
      const stored = await vault(dir, { disk: diskThatFails(at, "dies") })
        .store(sealed(ROTATED), { refused: false })
        .then(
          () => true,
          () => false,
        );
      const found = await read(vault(dir));
      expect(stored ? [ROTATED] : ["before", ROTATED]).toContain(found);
    }
  });

  test("a failure to store it says so and shows no token", async () => {
    const dir = newFolder();
    const failure: unknown = await vault(dir, { disk: diskThatFails(2, "EROFS") })
      .store(sealed(ROTATED), { refused: false })
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "state-unwritable" });
    expect(inspect(failure, { depth: 9 })).not.toContain(ROTATED.slice(0, 16));
  });
});

describe("the token that counts is", () => {
  test.each<[string, Sealed | undefined, Sealed | undefined, string]>([
    ["the typed one before it was redeemed", undefined, sealed(TYPED), TYPED],
    ["the rotated one while the typed one stays as it was", sealed(TYPED), sealed(`${TYPED}\r\n`), ROTATED],
    ["a newly typed one over the rotated one", sealed(TYPED), sealed("typed anew"), "typed anew"],
    ["the rotated one when the admin removed the typed one from the file", sealed(TYPED), undefined, ROTATED],
  ])("%s", async (_, redeemed, typed, wanted) => {
    const dir = newFolder();
    if (redeemed) await vault(dir, { typed: redeemed }).store(sealed(ROTATED), { refused: false });
    expect(await read(vault(dir, typed ? { typed } : {}))).toBe(wanted);
  });

  test("missing before the first sign-in, and the failure names the command", async () => {
    await expect(vault(newFolder()).current()).rejects.toMatchObject({
      code: "not-signed-in",
      area: "sign-in",
      nextStep: expect.stringContaining("token acquire"),
    });
  });

  test("kept with the times of its typing and its last rotation", async () => {
    const dir = newFolder();
    const files = new SecretFiles(dir, { ports: diskPorts(), log: new FakeLog() });
    const at = (now: number, typed: string): FileTokenVault =>
      new FileTokenVault({
        files,
        tenantId: CONTOSO,
        stanza: "a",
        fingerprint: FINGERPRINT,
        typed: sealed(typed),
        nowMs: () => now,
      });
    expect(at(1, "x").times()).toBeUndefined();
    await at(1, "x").store(sealed("r1"), { refused: false });
    await at(2, "x").store(sealed("r2"), { refused: false });
    expect(at(3, "x").times()).toEqual({ storedAtMs: 2, typedAtMs: 1 });
    await at(3, "y").store(sealed("r3"), { refused: false });
    expect(at(3, "y").times()).toEqual({ storedAtMs: 3, typedAtMs: 3 });
  });
});

describe("a stored secret goes only to the endpoints that it was typed for", () => {
  test("a changed endpoint gets no token and is named", async () => {
    const dir = newFolder();
    await vault(dir).store(sealed(ROTATED), { refused: false });
    const failure: unknown = await vault(dir, { fingerprint: OTHER })
      .current()
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "endpoint-changed", area: "sign-in", say: expect.stringContaining("proxy") });
    expect(inspect(failure, { depth: 9 })).not.toContain(ROTATED.slice(0, 16));
  });

  test.each([
    "{",
    '{"version":1}',
    '{"version":1,"seal":"x","notes":{},"values":{"refresh_token":5}}',
    `{"version":1,"refresh_token":"${ROTATED}`,
    "null",
  ])("a damaged file %j is reported without its content", async (content) => {
    const dir = newFolder();
    await vault(dir).store(sealed(ROTATED), { refused: false });
    fs.writeFileSync(join(dir, "secrets", `${CONTOSO}.+contoso.token.json`), content);
    const failure: unknown = await vault(dir)
      .current()
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "state-damaged", area: "sign-in" });
    expect(inspect(failure, { depth: 9 })).not.toContain(ROTATED.slice(0, 16));
  });

  test("credentials and tokens never share a file", () => {
    const files = new SecretFiles("/x", { ports: diskPorts(), log: new FakeLog() });
    expect(files.pathOf(credentialEntryName("../Main"))).toBe("/x/secrets/credential.%2e%2e%2f+main.json");
  });
});
