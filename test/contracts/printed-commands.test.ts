/** Every command that a sentence of this program names, as it is printed on each kind of host. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { AADSTS, failureFromEntra, OAUTH_ERRORS } from "../../src/auth/entra-failures.ts";
import { API_FAILURES } from "../../src/defender/api-failures.ts";
import type { CommandPlace } from "../../src/model/command-line.ts";
import { commandLine, PRINTABLE_COMMANDS } from "../../src/model/command-line.ts";
import { FAILURE_CODES, type FailureCode, failureEntry } from "../../src/model/failure-codes.ts";
import { sourceFiles } from "./failures/call-sites.ts";
import { CREDENTIAL, CUSTOMER, faultsOf, PLACES, parse, readByWindows } from "./failures/printed.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const CODES = Object.keys(FAILURE_CODES) as FailureCode[];

const table = CODES.map((code) =>
  failureEntry(code).action.replaceAll("CUSTOMER", JSON.stringify(CUSTOMER)).replaceAll("NAME", CREDENTIAL),
);

const subject = { customer: CUSTOMER, clientId: "11111111-1111-4111-8111-111111111111", credential: CREDENTIAL };
const signIn = [
  ...AADSTS.map(({ numbers }) => ({ error: "x", error_codes: numbers })),
  ...OAUTH_ERRORS.map(({ error }) => ({ error })),
  { error: "never_heard_of" },
].flatMap((body) =>
  [subject, { ...subject, credential: undefined }, { ...subject, redeeming: "code" as const }].map(
    (whose) => failureFromEntra({ status: 400, body }, whose).nextStep,
  ),
);

const api = API_FAILURES.map(({ nextStep }) => nextStep.replaceAll("{stanza}", JSON.stringify(CUSTOMER)));

/** Each command of the sources, with a sample where something is filled in. */
const sources = sourceFiles(ROOT)
  .filter((file) => !file.endsWith("/failure-codes.ts") && !file.endsWith("/entra-failures.ts"))
  .flatMap((file) => readFileSync(path.join(ROOT, file), "utf8").split("\n"))
  .filter((line) => !/^\s*(\/\/|\*|\/\*)/.test(line))
  .flatMap((line) =>
    [...line.replaceAll("\\`", "`").matchAll(/(?:`|\| )defender[-_]mssp (?!\$)(?:\$\{[^}]*\}|[^`])*`/g)].map(
      ([found]) =>
        found
          .replaceAll(/\$\{JSON\.stringify\([^}]*\}|\{stanza\}/g, JSON.stringify(CUSTOMER))
          .replaceAll(/--for \$\{[^}]*\}/g, "--for graph")
          .replaceAll(/\$\{[^}]*\}/g, "sample")
          .replace(/^\| /, "`x | "),
    ),
  );

describe.each(Object.entries(PLACES))("%s prints commands that run as printed", (_, place) => {
  test("every action in the table of failure codes", async () => {
    expect(await faultsOf(table, place)).toEqual([]);
  });

  test("every next step for an answer of Microsoft's sign-in service", async () => {
    expect(await faultsOf(signIn, place)).toEqual([]);
  });

  test("every next step for an answer of Microsoft's APIs", async () => {
    expect(await faultsOf(api, place)).toEqual([]);
  });

  test("every command that stands anywhere else in the sources", async () => {
    expect(sources.length).toBeGreaterThan(30);
    // Commands about outputs always have a configuration, since only a properties file has outputs.
    const ofOutputs = /mssp (?:arcsight|run|status|fleet|rejected)\b/;
    const printed = sources.filter((line) => place.flags["config"] !== undefined || !ofOutputs.test(line));
    expect(await faultsOf(printed, place)).toEqual([]);
  });
});

test.each([
  ["a command that does not exist", "Run `defender-mssp token aquire --customer x`."],
  ["a flag that the command does not have", "Run `defender-mssp doctor --costumer x`."],
  ["a missing value", "Run `defender-mssp consent-url --customer`."],
  ["a word in place of a value", "Run `defender-mssp register --check FILE`."],
  ["only a command's name", "Send the link of `consent-url`."],
])("a failure with %s would be found here", async (_, sentence) => {
  expect(await faultsOf([sentence], PLACES["a command beside ArcSight"]!)).not.toEqual([]);
});

test("each printable command takes exactly the flags that are repeated for it", async () => {
  const all = [...new Set(Object.values(PRINTABLE_COMMANDS).flatMap(({ takes }) => takes))];
  const value = (flag: string) => ({ auth: "app", cloud: "dod" })[flag] ?? "x";
  const wrong: string[] = [];
  for (const [name, { takes, to = [] }] of Object.entries(PRINTABLE_COMMANDS)) {
    const needed = [
      ...(["credential set", "customers import", "customers remove"].includes(name) ? ["x"] : []),
      ...(name === "hunt" ? ["--query", "x"] : []),
    ];
    const complaint = async (flags: readonly string[], own: readonly string[] = []) => {
      const config = own.includes("config") ? ["--config", "x"] : [];
      const words = [...name.split(" "), ...needed, ...config, ...flags.flatMap((flag) => [`--${flag}`, value(flag)])];
      const parsed = await parse(words);
      return typeof parsed === "string" ? parsed : "";
    };
    const complaintOfOwn = await complaint(takes);
    if (complaintOfOwn !== "") wrong.push(`${name}: ${complaintOfOwn}`);
    const others = all.filter((flag) => !takes.includes(flag));
    const unknown = /Unknown arguments?: (.*)/.exec(await complaint(others, takes))?.[1]?.split(/, |\. /) ?? [];
    wrong.push(...others.filter((flag) => !unknown.includes(flag)).map((flag) => `${name} knows --${flag}`));
    for (const place of to)
      if (typeof (await parse([...name.split(" "), ...needed, "--to", place])) === "string")
        wrong.push(`${name} does not know --to ${place}`);
  }
  expect(wrong).toEqual([]);
});

test("on Windows a program reads back each word of a printed command", () => {
  const words = [`a "b" c`, "C:\\Program Files\\x\\", String.raw`\\server\share`, `x\\"y`, "größe", "", "plain"];
  const place: CommandPlace = {
    program: ["C:\\Program Files\\Splunk\\bin\\splunk.exe", "cmd", "C:\\x\\defender_mssp.exe"],
    shell: "windows",
    flags: {},
    secrets: "splunk",
  };
  expect(readByWindows(commandLine(words, place))).toEqual([...place.program, ...words]);
});
