import { expect, test } from "@jest/globals";
import { refusedSettings, settingsRefused } from "../config/settings.ts";
import type { SplunkHost } from "../hosts/splunk/index.ts";
import { Failure } from "../model/failure.ts";
import type { SettingProblem, Stanza } from "../model/stanza.ts";
import { customersWithoutDestination } from "./splunk-without-destination.ts";

const GUID = "11111111-2222-4333-8444-555555555555";
const HEC = { stanza: "", key: "hec_token", say: "is missing" };
const OTHER = { stanza: "", key: "log_level", say: "is not a choice" };
const OWN = { stanza: "wrong", key: "ca_file", say: "names a file that is missing" };

const customer = (name: string) => ({
  stanza: { name, tenantName: name, tenantId: GUID } as Stanza,
  vault: undefined,
});
const refusedFor = (name: string) => ({
  ...customer(name),
  failure: new Failure("credential-missing", { actor: "operator", retry: { when: "never" }, say: "no secret" }),
});

function without(problem: SettingProblem = HEC) {
  const looks: unknown[] = [];
  const wrong = refusedSettings({ name: "wrong", values: {} }, [OWN]);
  const host: Pick<SplunkHost, "customers" | "refused" | "misconfigured" | "look"> = {
    customers: [customer("ready")],
    refused: [refusedFor("unsigned")],
    misconfigured: [{ ...wrong, failure: settingsRefused(wrong, "the input") }],
    async look(failing) {
      looks.push(failing);
      return { customers: [customer("unsigned")], refused: [refusedFor("ready")] };
    },
  };
  return { customers: customersWithoutDestination(host, [problem, OTHER, OWN]), looks };
}

test("while hec_* is wrong nobody is collected, and each customer's health names the setting, also where more is wrong", () => {
  const { wanted, refused, misconfigured } = without().customers;
  expect([wanted, refused]).toEqual([[], []]);
  const said = Object.fromEntries(misconfigured.map(({ name, failure: { say } }) => [name, say]));
  expect(said).toEqual({
    ready: "ready is not collected: `hec_token` is missing.",
    unsigned: "unsigned is not collected: `hec_token` is missing.",
    wrong: "wrong is not collected: `ca_file` names a file that is missing; `hec_token` is missing.",
  });
});

test("a file of hec_* that is missing is looked for again only by a new start, and the next step says how to cause one", () => {
  const nextSteps = (problem: SettingProblem) =>
    without(problem).customers.misconfigured.map(({ failure }) => failure.nextStep);
  const missing = { stanza: "", key: "hec_ca_file", say: "names a file that is missing" };
  for (const step of nextSteps(missing)) expect(step).toMatch(/ disable and enable one input once it is there\.$/);
  for (const step of nextSteps(HEC)) expect(step).not.toContain("disable");
});

test("while hec_* is wrong nobody joins whose secret is there now, and typed secrets are stored all the same", async () => {
  const { customers, looks } = without();
  const failing = new Set(["unsigned"]);
  expect(await customers.credentials.look(failing)).toEqual({ ready: [], refused: [] });
  expect(looks).toEqual([failing]);
});
