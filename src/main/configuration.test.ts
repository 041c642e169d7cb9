import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { rawFromProperties, readArcSightConfig, realSecretReader } from "../hosts/arcsight/index.ts";
import { type Configuration, defaultStateDir, readConfiguration } from "./configuration.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "configuration-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FILES = {
  conf: `[defender_mssp://Müller]\r\ntenant_id = ${TENANT}\r\nclient_id = ${CLIENT}\r\ntenant_name = Müller & Söhne\r\n`,
  properties: `tenants[0].tenant_id=${TENANT}\r\ntenants[0].client_id=${CLIENT}\r\ntenants[0].tenant_name=Müller & Söhne\r\n`,
  xml: `<?xml version="1.0" encoding="utf-16"?><input><configuration><stanza name="defender_mssp://Müller"><param name="tenant_id">${TENANT}</param><param name="client_id">${CLIENT}</param><param name="tenant_name">Müller &amp; Söhne</param></stanza></configuration></input>`,
} as const;

const utf16 = (text: string, order: "le" | "be"): Buffer => {
  const bytes = Buffer.from(`\uFEFF${text}`, "utf16le");
  return order === "be" ? bytes.swap16() : bytes;
};

function configurationIn(name: string, bytes: Buffer): Promise<Configuration> {
  const config = join(folder, name);
  writeFileSync(config, bytes);
  return readConfiguration({ config, argv: {}, environment: {} }, async (text, file) =>
    rawFromProperties(text, file, realSecretReader({}, process.platform)),
  );
}

describe("a settings file that an editor on Windows saved as UTF-16 is read as it was typed", () => {
  test.each(
    (["conf", "properties", "xml"] as const).flatMap((ending) =>
      (["le", "be"] as const).map((order) => [ending, order] as const),
    ),
  )(".%s, %s", async (ending, order) => {
    const { stanzas, log } = await configurationIn(`${order}.${ending}`, utf16(FILES[ending], order));
    expect(stanzas).toMatchObject([{ tenantName: "Müller & Söhne", tenantId: TENANT, clientId: CLIENT }]);
    expect(log.filter((line) => line.includes("is not a setting"))).toEqual([]);
  });

  test.each(["conf", "xml"] as const)(".%s in UTF-8 with a byte order mark as well", async (ending) => {
    const { stanzas } = await configurationIn(`utf8.${ending}`, Buffer.from(`\uFEFF${FILES[ending]}`));
    expect(stanzas).toMatchObject([{ tenantName: "Müller & Söhne" }]);
  });
});

test("arcsight reads a properties file in UTF-16, and warns that a connector cannot", () => {
  const { settings, warnings } = readArcSightConfig(utf16(FILES.properties, "le"), "helper.properties", {
    nowMs: 0,
    secrets: realSecretReader({}, process.platform),
  });
  expect(settings.stanzas).toMatchObject([{ tenantName: "Müller & Söhne" }]);
  expect(warnings).toContain(
    "The file is saved as UTF-16, which ArcSight's connectors cannot read. It is read here; save it as UTF-8, with letters beyond ASCII as \\u escapes.",
  );
});

describe("without a state folder of its own a command uses one below the account's home", () => {
  const noHome = (): string => {
    // What Node does for an account that is not in /etc/passwd.
    throw Object.assign(new Error("uv_os_homedir returned ENOENT"), { code: "ERR_SYSTEM_ERROR" });
  };

  test.each<[NodeJS.ProcessEnv, string]>([
    [{ HOME: "/home/collector" }, "/home/collector/.local/state/defender-mssp"],
    [{ HOME: "/home/collector", XDG_STATE_HOME: "/var/lib" }, "/var/lib/defender-mssp"],
    [{ HOME: "", XDG_STATE_HOME: "" }, "/of/the/account/.local/state/defender-mssp"],
  ])("%j", (environment, expected) => {
    expect(defaultStateDir(environment, () => "/of/the/account")).toBe(expected);
  });

  test("and an account without any home is told to name one", () => {
    expect(() => defaultStateDir({}, noHome)).toThrow(
      expect.objectContaining({
        code: "settings",
        say: "This account has no home folder (HOME is not set, and /etc/passwd does not name one), so the state folder has no place.",
        nextStep: "Run the command again with --state DIR, or set `state_dir`.",
      }),
    );
  });
});
