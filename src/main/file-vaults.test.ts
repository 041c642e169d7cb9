import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, jest, test } from "@jest/globals";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { parseStanzas } from "../config/settings.ts";
import { sealed } from "../model/sealed.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { windowsProgram } from "./system-programs.ts";

const spawned: string[][] = [];
jest.unstable_mockModule("node:child_process", () => ({
  spawnSync(program: string, argv: readonly string[]) {
    spawned.push([program, ...argv]);
    return { status: 0 };
  },
}));
const { fileCredentials, fileVaults } = await import("./file-vaults.ts");

const TENANT = "11111111-2222-3333-4444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const log = new FakeLog();
const clock = new FakeClock(T0, { pauses: "pass" });

test("on Windows the folder of a file host's tokens is closed to every other account before a token is written into it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "file-vaults-"));
  try {
    const values = { tenant_id: TENANT, client_id: CLIENT };
    const { stanzas } = parseStanzas([{ name: "contoso", values }], { host: "arcsight", nowMs: 0 });
    const stanza = { ...stanzas[0]!, refreshToken: sealed("typed") };
    const vault = fileVaults(folder, log, clock, "win32")(stanza, tenantIdFrom(values.tenant_id)!);
    await vault?.store(sealed("rotated"), { refused: false });

    expect(spawned).toEqual([
      [windowsProgram("whoami.exe"), "/user", "/fo", "csv", "/nh"],
      [
        windowsProgram("icacls.exe"),
        join(folder, "secrets"),
        "/inheritance:r",
        "/grant:r",
        expect.stringContaining(":(OI)(CI)F"),
      ],
    ]);
    expect(fileCredentials(folder, log, clock, "win32")(stanza)).toBe(stanza);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a CA file that cannot be read refuses the vault of its customer and is not a defect of this program", () => {
  const folder = mkdtempSync(join(tmpdir(), "file-vaults-"));
  try {
    // A folder in the file's place cannot be read by root either.
    const caFile = join(folder, "ca.pem");
    mkdirSync(caFile);
    const values = { tenant_id: TENANT, client_id: CLIENT };
    const { stanzas } = parseStanzas([{ name: "contoso", values }], { host: "arcsight", nowMs: 0 });
    const stanza = { ...stanzas[0]!, refreshToken: sealed("typed"), route: { caFile } };

    expect(() => fileVaults(folder, log, clock)(stanza, tenantIdFrom(TENANT)!)).toThrow(
      expect.objectContaining({ code: "ca-file-unusable", say: expect.stringContaining(caFile) }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
