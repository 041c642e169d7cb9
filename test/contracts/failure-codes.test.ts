import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { AADSTS, OAUTH_ERRORS } from "../../src/auth/entra-failures.ts";
import { FLEET_SETTINGS } from "../../src/config/fleet-settings.ts";
import { OUTPUT_SETTINGS, SERVE_SETTINGS } from "../../src/config/output-settings.ts";
import { API_FAILURES } from "../../src/defender/api-failures.ts";
import { Failure } from "../../src/model/failure.ts";
import { FAILURE_CODES, type FailureCode, failureEntry } from "../../src/model/failure-codes.ts";
import { TABLE } from "../../src/model/settings-table.ts";
import { NETWORK_FAILURES } from "../../src/net/network-failures.ts";
import { failureCallsIn, sourceFiles } from "./failures/call-sites.ts";
import type { Cause } from "./failures/cause.ts";
import { DISCOVERY } from "./failures/discovery.ts";
import { ENGINE } from "./failures/engine.ts";
import { FLEET } from "./failures/fleet.ts";
import { HOSTS } from "./failures/hosts.ts";
import { MICROSOFT } from "./failures/microsoft.ts";
import { faultsOf, PLACES } from "./failures/printed.ts";
import { SIGN_IN } from "./failures/sign-in.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const CODES = Object.keys(FAILURE_CODES) as FailureCode[];
const CAUSES: Partial<Record<FailureCode, Cause>> = {
  ...SIGN_IN,
  ...MICROSOFT,
  ...DISCOVERY,
  ...ENGINE,
  ...FLEET,
  ...HOSTS,
};

/** Codes whose sentences list the settings that differ, so that no fixed text names them. */
const NAMED_AT_RUN_TIME: ReadonlySet<string> = new Set<FailureCode>(["endpoint-changed"]);

/** Does the text name one of the settings that the code concerns? True for a code that concerns none. */
function namesSetting(code: FailureCode, text: string): boolean {
  const { settings } = failureEntry(code);
  return settings === undefined || settings.some((setting) => new RegExp(`(?<![\\w-])${setting}(?![\\w-])`).test(text));
}

test("every failure code has a test that raises it through its real cause", () => {
  expect(CODES.filter((code) => CAUSES[code] === undefined)).toEqual([]);
});

describe("a failure code is raised by its real cause, names who must act and its setting, and its command runs", () => {
  test.each(Object.entries(CAUSES).map(([code, [when, meet]]) => [code as FailureCode, when, meet] as const))(
    "%s is raised when %s",
    async (code, _, meet) => {
      const raised = await meet();
      expect(raised.code).toBe(code);
      expect(failureEntry(code).actors).toContain(raised.actor);
      expect(raised.say).not.toBe("");
      expect(namesSetting(code, `${raised.say} ${raised.nextStep}`) ? [] : [raised.say, raised.nextStep]).toEqual([]);
      expect(await faultsOf([raised.say, raised.nextStep], PLACES["the modular input"]!)).toEqual([]);
    },
  );
});

describe("the tables of Microsoft's answers agree with the table of failure codes", () => {
  const rows = [
    ...AADSTS,
    ...OAUTH_ERRORS,
    ...API_FAILURES,
    ...NETWORK_FAILURES.map(({ failure, ...row }) => ({ ...row, code: failure })),
  ];
  test.each(rows.map((row) => [row.code, row.say, row] as const))("%s: %s", (code, _, { actor, say, nextStep }) => {
    expect(failureEntry(code).actors).toContain(actor);
    expect(namesSetting(code, `${say} ${nextStep}`)).toBe(true);
  });
});

test("every failure that the source builds in place names the setting that its code concerns", () => {
  const silentOnes = sourceFiles(ROOT)
    .flatMap((file) => failureCallsIn(file, readFileSync(path.join(ROOT, file), "utf8")))
    .filter(
      ({ code, text }) =>
        text !== undefined && !NAMED_AT_RUN_TIME.has(code) && !namesSetting(code as FailureCode, text),
    )
    .map(({ file, line, code }) => `${file}:${line} ${code}`);
  expect(silentOnes).toEqual([]);
});

test("the type checker rejects a code outside of the table, and an actor that the code does not allow", () => {
  const detail = { retry: { when: "never" }, say: "…" } as const;
  // @ts-expect-error no such code
  expect(new Failure("made-up", { ...detail, actor: "us" }).code).toBe("made-up");
  // @ts-expect-error a name that cannot be resolved is not the customer's to fix
  expect(new Failure("dns-failed", { ...detail, actor: "customer" }).actor).toBe("customer");
});

test("every failure code is used by the source", () => {
  const texts = sourceFiles(ROOT)
    .filter((file) => !file.endsWith("/failure-codes.ts"))
    .map((file) => readFileSync(path.join(ROOT, file), "utf8"))
    .join("\n");
  expect(CODES.filter((code) => !texts.includes(`"${code}"`))).toEqual([]);
});

test("every setting that the table of failure codes names is one of the program's settings", () => {
  const known = new Set<string>([...TABLE, ...OUTPUT_SETTINGS, ...SERVE_SETTINGS].map(({ key }) => key));
  for (const { key } of FLEET_SETTINGS) known.add(`fleet.${key}`);
  // Members of the file that hunting_queries names.
  known.add("window_minutes");
  const named = CODES.flatMap((code) => failureEntry(code).settings ?? []);
  expect(named.filter((setting) => !known.has(setting))).toEqual([]);
});

test("every failure code has an exit code for each actor that it allows", () => {
  const without = CODES.flatMap((code) => {
    const { actors, exit } = failureEntry(code);
    return typeof exit === "string" ? [] : actors.filter((actor) => exit[actor] === undefined).map(() => code);
  });
  expect(without).toEqual([]);
});

test("every failure code says in whole sentences what it means and what to do", () => {
  for (const code of CODES) {
    const { meaning, action, actors } = failureEntry(code);
    expect([code, meaning]).toEqual([code, expect.stringMatching(/^([A-Z]|splunkd).*[.]$/)]);
    expect([code, action]).toEqual([code, expect.stringMatching(/^[A-Z].*[.]$/)]);
    expect(actors.length).toBeGreaterThan(0);
  }
});
