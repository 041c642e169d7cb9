import { expect, test } from "@jest/globals";
import { commandLine, commandLines } from "../model/command-line.ts";
import { type ProgramWorld, placeOf } from "./command-place.ts";

const unpacked: ProgramWorld = {
  execPath: "/opt/arcsight/defender-mssp",
  argv0: "./defender-mssp",
  script: "/snapshot/main.cjs",
  platform: "linux",
  environment: {},
};
const splunk: ProgramWorld = {
  ...unpacked,
  execPath: "/opt/splunk/etc/apps/TA_defender_mssp/linux_x86_64/bin/defender_mssp",
  argv0: "/opt/splunk/etc/apps/TA_defender_mssp/linux_x86_64/bin/defender_mssp",
  environment: { SPLUNK_HOME: "/opt/splunk" },
};
const SPLUNK_PROGRAM = `/opt/splunk/bin/splunk cmd ${splunk.execPath}`;

const line = (argv: Readonly<Record<string, unknown>>, words: string, world = unpacked, typed = true): string =>
  commandLine(words.split(" "), placeOf(argv, { typed }, world));

test("a command is printed as its program was typed, with its own configuration and state", () => {
  expect(line({ config: "my file.properties", state: "state" }, "doctor --customer x")).toBe(
    "./defender-mssp doctor --customer x --config 'my file.properties' --state state",
  );
});

test("a service prints full paths, because its log is read in another folder", () => {
  expect(line({ config: "/etc/a.properties" }, "arcsight check", unpacked, false)).toBe(
    "/opt/arcsight/defender-mssp arcsight check --config /etc/a.properties",
  );
});

test("in Splunk the program is started by splunk cmd, and secrets go into Splunk's credential store", () => {
  expect(line({ config: "inputs.conf", "splunk-user": "admin" }, "token acquire --customer x", splunk)).toBe(
    `${SPLUNK_PROGRAM} token acquire --customer x --config inputs.conf --splunk-user admin --to splunk`,
  );
  expect(line({}, "credential set mssp", splunk)).toBe(`${SPLUNK_PROGRAM} credential set mssp --to splunk`);
});

test("on Windows the executable of Splunk has its ending", () => {
  const home = "C:\\Program Files\\Splunk";
  const execPath = `${home}\\etc\\apps\\TA_defender_mssp\\windows_x86_64\\bin\\defender_mssp.exe`;
  const world: ProgramWorld = { ...splunk, platform: "win32", execPath, environment: { SPLUNK_HOME: home } };
  expect(line({}, "doctor --customer x", world)).toBe(
    `"${home}\\bin\\splunk.exe" cmd "${execPath}" doctor --customer x`,
  );
});

test("a sign-in for a properties file is stored in that file", () => {
  expect(line({ config: "a.properties" }, "token acquire --customer x")).toBe(
    "./defender-mssp token acquire --customer x --config a.properties --to arcsight --file a.properties",
  );
});

test("a proxy's login is not repeated, because it is a secret", () => {
  const argv = { "tenant-id": "contoso.example", proxy: "http://user:secret@proxy:8080" };
  expect(line(argv, "doctor --customer x")).toBe("./defender-mssp doctor --customer x --tenant-id contoso.example");
  expect(line({ proxy: "http://proxy:8080" }, "doctor --customer x")).toContain("--proxy http://proxy:8080");
});

test("a command that names no customer is about the one that the sentence is about", () => {
  const commands = commandLines(placeOf({ config: "a.properties" }, { typed: true }, unpacked));
  expect(commands.inText("Run `defender-mssp token access`.", "Alpha & Söhne")).toBe(
    "Run `./defender-mssp token access --customer 'Alpha & Söhne' --config a.properties`.",
  );
  expect(commands.inText("Run `defender-mssp doctor`.")).toBe(
    "Run `./defender-mssp doctor --all --config a.properties`.",
  );
  expect(commands.inText("Nothing to run: defender-mssp is well.")).toBe("Nothing to run: defender-mssp is well.");
});
