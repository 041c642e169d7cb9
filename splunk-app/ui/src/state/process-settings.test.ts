import { expect, test } from "@jest/globals";
import { GLOBAL_ROWS, settingsFor } from "../../../../src/model/settings-table.ts";
import { T0 } from "../../../../test/harness/fakes/clock.ts";
import { refusalsOf } from "../../../../test/harness/splunkd/refusals.ts";
import type { Input } from "./customers.ts";
import { ownValues, PROCESS_FIELDS, PROCESS_PARTS, processProblemsOf, restartInput } from "./process-settings.ts";

const GUID = "11111111-2222-3333-4444-555555555555";

function input(name: string, values: Readonly<Record<string, string>>): Input {
  return { name, isDisabled: false, values };
}

/** What splunkd shows when an input that is right by itself is saved under these settings. */
const refusedAll = (values: Readonly<Record<string, string>>) =>
  refusalsOf("settings", { tenant_id: GUID, client_id: GUID, ...values });

test("every setting of the whole process stands on the page once, and so do proxy and CA files", () => {
  const shown = PROCESS_PARTS.flatMap(({ fields }) => fields.map(({ key }) => key));
  const wanted = [...GLOBAL_ROWS.map(({ key }) => key), "proxy", "no_proxy", "ca_file", "splunkd_ca_file"];

  expect(shown.toSorted()).toEqual(wanted.toSorted());
  for (const field of PROCESS_FIELDS) {
    const { title, ...rest } = settingsFor("splunk").find(({ key }) => key === field.key)!;
    expect(field).toMatchObject({ ...rest, title: expect.not.stringContaining("all customers") });
    expect(title).toContain(field.title.replace(/\)$/, ""));
  }
});

test.each([
  ["a number above its bound", { concurrency: "999" }],
  ["a word that is not a choice", { log_level: "loud" }],
  ["an address without a port", { metrics_listen: "here" }],
  ["a token that is not a file", { metrics_token: "s3cret" }],
  ["a token of HEC in clear text", { hec_urls: "https://splunk:8088", hec_token: "s3cret" }],
  ["HEC over plain http", { hec_urls: "http://splunk:8088", hec_token: "file:/t" }],
  ["HEC without a token", { hec_urls: "https://splunk:8088" }],
  ["a folder that is not absolute", { state_dir: "state" }],
  ["a proxy that is none", { proxy: "ftp://proxy" }],
  ["a list without its credential", { discover: "gdap" }],
  ["enrolling without a list", { discover_mode: "enrol" }],
  ["several mistakes at once", { replay_mib: "0", record_max_mib: "x", log_level: "?" }],
])("the page refuses %s with the sentences of --validate-arguments", async (_, values) => {
  const found = Object.entries(processProblemsOf(values, [], T0));

  expect(found.length).toBeGreaterThan(0);
  expect(await refusedAll(values)).toEqual(found.map(([key, say]) => `settings: ${key}: ${say}`).toSorted());
});

test("settings that are right are accepted, also with a home app of their own", async () => {
  const values = {
    log_level: "debug",
    concurrency: "32",
    proxy: "http://proxy:8080",
    metrics_listen: "127.0.0.1:9464",
    hec_urls: "https://splunk:8088",
    hec_token: "credential:hec",
  };

  expect(processProblemsOf(values, [], T0)).toEqual({});
  expect(await refusedAll(values)).toEqual([]);
  const list = { discover: "gdap", discover_credential: "home" };
  expect(processProblemsOf(list, [input("contoso", { credential: "shared" })], T0)).toEqual({});
});

test("a home app that a customer uses too is refused, with that customer's name", () => {
  const list = { discover: "gdap", discover_credential: "home" };

  expect(processProblemsOf(list, [input("contoso", { credential: "home" })], T0)).toMatchObject({
    discover_credential: expect.stringContaining("contoso"),
  });
});

test("metrics for other machines are refused without a certificate and a token", () => {
  expect(Object.keys(processProblemsOf({ metrics_listen: "0.0.0.0:9464" }, [], T0)).toSorted()).toEqual([
    "metrics_certificate",
    "metrics_token",
  ]);
});

test("an input that sets something of the whole process for itself is named, also where it empties it", () => {
  const inherited = { log_level: "info", concurrency: "16" };
  const inputs = [
    input("z", { ...inherited, log_level: "debug" }),
    input("b", inherited),
    input("a", { ...inherited, concurrency: "" }),
  ];

  expect(ownValues(inputs, inherited)).toEqual([
    { input: "a", key: "concurrency", value: "" },
    { input: "z", key: "log_level", value: "debug" },
  ]);
});

test("the input that is saved for a restart keeps the tenant that somebody gave it since the page was opened", async () => {
  const saved: unknown[] = [];
  const now = { name: "b", isDisabled: false, values: { tenant_id: "new" } };
  const calls = {
    list: async () => [{ name: "a", isDisabled: true, values: {} }, now],
    read: async () => now,
    edit: async (...given: unknown[]) => void saved.push(given),
  };

  expect(await restartInput(calls)).toBe("b");
  expect(saved).toEqual([["b", { tenant_id: "new" }, { tenant_id: "new" }]]);
  expect(await restartInput({ ...calls, list: async () => [] })).toBeUndefined();
});
