import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { choose } from "./chosen-configuration.ts";
import { placeOf } from "./command-place.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "printed-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["a fleet that shares refresh tokens", "fleet.key_file=/etc/defender-mssp/fleet.key\n", "--to fleet"],
  ["a fleet that does not", "", "--to arcsight --file FILE"],
])("a sign-in that a member of %s prints is stored where its members look", async (_, keyFile, to) => {
  const config = join(folder, "member.properties");
  const fleet = "fleet.url=postgres://127.0.0.1:5432/fleet\nfleet.user=collector\nfleet.name=emea\n";
  writeFileSync(config, `${fleet}${keyFile}`);
  const place = placeOf({ config }, { typed: true });
  const { commands } = await choose({ config, overrides: {}, environment: {}, place });

  expect(commands.inText("Sign in again: `defender-mssp token acquire --customer Contoso`.")).toContain(
    `token acquire --customer Contoso --config ${config} ${to.replace("FILE", config)}\``,
  );
});
