import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { childEnvironment } from "../harness/child-environment.ts";

/** What a person sees who calls a command in a way that it does not understand. */

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "usage-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

function program(command: string): Promise<Ended> {
  const options = { env: childEnvironment({ HOME: folder }), timeout: 240_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...command.split(" ")], options, (error, out, errors) => {
      const code = typeof error?.code === "number" ? error.code : error ? -1 : 0;
      // A printed command names the program as it was called here; beside a connector it is this name.
      resolve({ code, out, errors: errors.replaceAll(`${process.execPath} ${MAIN}`, "defender-mssp") });
    }).stdin?.end();
  });
}

/** Enough for each command to begin its work, if it did. */
const CUSTOMER = "--tenant-id 11111111-2222-3333-4444-555555555555 --client-id 11111111-2222-3333-4444-555555555555";

describe("an unknown flag gets one line with the command's own help, and the command does not begin:", () => {
  test.each([
    "collect",
    "consent-url",
    "doctor",
    "hunt --query q",
    "register",
    "token acquire",
    "token access",
    "token inspect",
    "credential set",
    "credential reseal",
    "arcsight run",
    "arcsight serve",
    "arcsight check",
    "arcsight lint",
    "splunk run",
    "splunk scheme",
    "splunk validate",
    "run",
    "status",
    "customers list",
    "customers import",
    "customers discover",
    "partner consent",
    "fleet init",
    "fleet apply",
    "fleet drain",
    "fleet import-state",
    "fleet export-state",
    "rejected list",
    "rejected resend",
  ])("%s", async (command) => {
    const more =
      command.startsWith("register") || /^(splunk|arcsight|run|status|customers|fleet|rejected)/.test(command)
        ? ""
        : ` ${CUSTOMER}`;
    const positional =
      { "credential set": " msp", "splunk run": " document.xml", "customers import": " list.csv" }[command] ?? "";
    const config = /^(arcsight (run|serve|check)|run|status|fleet|rejected)/.test(command)
      ? " --config missing.properties"
      : "";
    const { code, out, errors } = await program(`${command}${positional}${config}${more} --no-such-flag`);

    const name = command.replace(/ --.*/, "");
    expect({ code, out, errors }).toEqual({
      code: 2,
      out: "",
      errors: `ERROR Unknown argument: no-such-flag. Run \`defender-mssp ${name} --help\`.\n`,
    });
  });
});

test.each([
  ["colect", "Did you mean collect? Run `defender-mssp --help`."],
  ["frobnicate", "Unknown argument: frobnicate. Run `defender-mssp --help`."],
  ["arcsight frobnicate", "Unknown argument: frobnicate. Run `defender-mssp arcsight --help`."],
  ["token", "Give one of acquire, access, inspect. Run `defender-mssp token --help`."],
  ["arcsight run", "Missing required argument: config. Run `defender-mssp arcsight run --help`."],
  ["credential set", "An argument is missing. Run `defender-mssp credential set --help`."],
  [
    "token access --for mars",
    'Invalid values: Argument: for, Given: "mars", Choices: "graph", "xdr", "mde". Run `defender-mssp token access --help`.',
  ],
])("`%s` is answered with one line", async (command, line) => {
  expect(await program(command)).toEqual({ code: 2, out: "", errors: `ERROR ${line}\n` });
});

describe("--json is refused where it would be ignored:", () => {
  test.each([
    "consent-url",
    "token acquire --print",
    "credential set msp",
    "credential reseal --all",
    "arcsight run --config missing.properties",
    "run --config missing.properties",
    "arcsight serve --config missing.properties",
    "splunk run document.xml",
    "splunk scheme",
    "splunk validate",
  ])("%s", async (command) => {
    const name = command
      .split(" ")
      .slice(0, /^(consent-url|run)/.test(command) ? 1 : 2)
      .join(" ");
    expect(await program(`${command} --json`)).toEqual({
      code: 2,
      out: "",
      errors: `ERROR Unknown argument: json. Run \`defender-mssp ${name} --help\`.\n`,
    });
  });

  test.each(["--check manifest.json", "--apply"])("register %s", async (flag) => {
    expect(await program(`register ${flag} --json`)).toEqual({
      code: 2,
      out: "",
      errors: "ERROR --json does not go with --check or --apply.\nERROR Leave --json out.\n",
    });
  });
});

describe("--json is obeyed:", () => {
  test("register prints one JSON value", async () => {
    const { code, out } = await program("register --json");
    expect({ code, members: Object.keys(JSON.parse(out) as object) }).toEqual({
      code: 0,
      members: ["portal_steps", "manifest", "script"],
    });
  });

  test("token inspect prints one JSON value", async () => {
    const { out } = await program("token inspect --json -");
    expect(JSON.parse(out)).toMatchObject({ ok: false, verdicts: expect.any(Array) });
  });

  test("arcsight lint prints one JSON value a line", async () => {
    const { out } = await program("arcsight lint --json");
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([expect.objectContaining({ level: "note" })]);
  });
});
