/** When every customer has wrong settings, `arcsight run` still reports each of them in a health event. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { EXIT } from "../../src/model/failure.ts";

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const TENANT = "11111111-2222-4333-8444-555555555555";
const folder = mkdtempSync(join(tmpdir(), "no-valid-customer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("P24 arcsight run reports customers with wrong settings in every output when no customer is valid", () => {
  const config = join(folder, "defender-mssp.properties");
  const cef = join(folder, "defender.cef");
  const lines = [
    "tenants[0].tenant_name=bad-tenant",
    "tenants[0].tenant_id=not a tenant",
    `tenants[0].client_id=${TENANT}`,
    "tenants[0].client_secret=clear",
    "tenants[1].tenant_name=no-secret-file",
    `tenants[1].tenant_id=${TENANT}`,
    `tenants[1].client_id=${TENANT}`,
    `tenants[1].client_secret=file:${join(folder, "missing")}`,
    "outputs[0].type=cef-file",
    `outputs[0].path=${cef}`,
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const args = ["arcsight", "run", "--once", "--config", config, "--state", join(folder, "state")];
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  expect({ status, stderr }).toMatchObject({ status: EXIT.usage });
  const written = readFileSync(cef, "utf8").trim().split("\n");
  expect(written).toHaveLength(2);
  for (const line of written) expect(line).toMatch(/\|health:misconfigured\|.* cat=\*( |$)/);
  const lineOf = (customer: string) => written.find((line) => line.includes(`cs3=${customer} `)) ?? "";
  const [first, second] = [lineOf("bad-tenant"), lineOf("no-secret-file")];
  expect(first).toContain("bad-tenant is not collected: `tenant_id` is neither a GUID nor a domain");
  expect(first).not.toContain("deviceExternalId");
  expect(second).toContain("no-secret-file is not collected: `client_secret`");
  expect(second).toContain(`deviceExternalId=${TENANT}`);
});
