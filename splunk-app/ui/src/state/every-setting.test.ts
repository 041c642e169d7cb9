import { describe, expect, test } from "@jest/globals";
import type { Kind } from "../../../../src/model/setting.ts";
import { T0 } from "../../../../test/harness/fakes/clock.ts";
import { refusalsOf } from "../../../../test/harness/splunkd/refusals.ts";
import { FIELDS, type Field } from "./fields.ts";
import { PROCESS_FIELDS, processProblemsOf } from "./process-settings.ts";
import { problemsOf } from "./validate.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const GOOD = { tenant_id: GUID, client_id: GUID };

/** Settings that a setting needs beside it. */
const BESIDE: readonly (readonly [prefix: string, values: Readonly<Record<string, string>>])[] = [
  ["discover", { discover: "gdap", discover_credential: "home" }],
  ["hec_", { hec_urls: "https://splunk.example:8088", hec_token: "file:/opt/token" }],
  ["metrics_", { metrics_listen: "127.0.0.1:9464" }],
  [
    "fleet_",
    {
      hec_urls: "https://splunk.example:8088",
      hec_token: "file:/opt/token",
      fleet_url: "postgres://database.example:5432/fleet",
      fleet_user: "defender",
    },
  ],
];

/** What people type into any field. */
const ANYTHING = [
  "x",
  "-1",
  "0",
  "1.5",
  "99999999999999999999",
  "perhaps",
  "a,b;a",
  "<b>&amp;\"'",
  "a\u0007b",
  "y".repeat(40_000),
  GUID,
  "contoso.onmicrosoft.com",
  "12h",
  "2026-01-01T00:00:00Z",
  "http://plain.example",
  "https://fine.example",
  "https://user:word@fine.example/path?query",
  "postgres://fine.example:5432/fleet",
  "proxy:8080",
  "/opt/file.pem",
  "file:/opt/token",
  "managed-identity:nobody",
];

/** The values at a setting's own bounds, and just beyond them. */
function atBounds(kind: Kind): readonly string[] {
  if (kind.is === "whole") return [kind.min - 1, kind.min, kind.max, kind.max + 1].map(String);
  if (kind.is === "text" || kind.is === "names") return [kind.max, kind.max + 1].map((length) => "a".repeat(length));
  if (kind.is === "choice") return [...kind.of, kind.of.join(",")];
  if (kind.is === "choices") return [...kind.of, kind.of.join(", ")];
  return [];
}

const valuesFor = ({ kind }: Field): readonly string[] => [...ANYTHING, ...atBounds(kind)];

/** Every page's verdict is splunkd's; how many values are refused and how many are not. */
async function compared(
  field: Field,
  ofPage: (values: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
): Promise<readonly [refused: number, accepted: number]> {
  let refused = 0;
  const values = valuesFor(field);
  const beside = BESIDE.find(([prefix]) => field.key.startsWith(prefix))?.[1];
  for (const value of values) {
    const typed = { ...GOOD, ...beside, [field.key]: value };
    const page = Object.entries(ofPage(typed)).map(([key, say]) => `settings: ${key}: ${say}`);
    expect([field.key, value, page.toSorted()]).toEqual([field.key, value, await refusalsOf("settings", typed)]);
    if (page.some((line) => line.startsWith(`settings: ${field.key}: `))) refused += 1;
  }
  return [refused, values.length - refused];
}

/** splunkd accepts every index; the page has its own test for it. */
const OF_CUSTOMER = FIELDS.filter(({ key }) => key !== "index");

describe("each value of each setting is refused on its page exactly where --validate-arguments refuses it, in its words", () => {
  test.each(OF_CUSTOMER.map((field) => [field.key, field] as const))("a customer's %s", async (_, field) => {
    const [refused, accepted] = await compared(field, (values) => problemsOf("settings", values, T0));
    expect([refused > 0, accepted > 0]).toEqual([true, true]);
  });

  test.each(PROCESS_FIELDS.map((field) => [field.key, field] as const))("the process's %s", async (_, field) => {
    const [refused, accepted] = await compared(field, ({ tenant_id: _t, client_id: _c, ...values }) =>
      processProblemsOf(values, [], T0),
    );
    expect([refused > 0, accepted > 0]).toEqual([true, true]);
  });
});
