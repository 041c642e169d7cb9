import { expect, test } from "@jest/globals";
import { settingsFor } from "../../../../src/model/settings-table.ts";
import { T0 } from "../../../../test/harness/fakes/clock.ts";
import { refusalsOf } from "../../../../test/harness/splunkd/refusals.ts";
import { defaultOf, FIELDS, FORM_PARTS, helpOf, STEP_FIELDS } from "./fields.ts";
import { boundSecrets, changesOf, masked, meanwhileOf, problemsOf, savedAgain } from "./validate.ts";

const GOOD = { tenant_id: "11111111-2222-3333-4444-555555555555", client_id: "11111111-2222-3333-4444-555555555555" };

test("every setting of a customer is on the form once, in the settings table's words, and none of the whole process", () => {
  const shown = FORM_PARTS.flatMap(({ fields }) => fields);
  const wanted = settingsFor("splunk").filter(({ global }) => global !== true);

  expect(shown.map(({ key }) => key).toSorted()).toEqual([...wanted.map(({ key }) => key), "index"].toSorted());
  for (const row of wanted) expect(FIELDS.find(({ key }) => key === row.key)).toBe(row);
});

test("the wizard asks for what must be given, and for every secret that a customer can have", () => {
  const asked = [...STEP_FIELDS.customer, ...STEP_FIELDS.signIn];

  expect(asked.filter(({ required }) => required).map(({ key }) => key)).toEqual(["tenant_id"]);
  expect(asked.filter(({ secret }) => secret).map(({ key }) => key)).toEqual(["client_secret", "refresh_token"]);
});

test.each([
  ["a missing tenant and app", {}],
  ["a tenant that is none", { ...GOOD, tenant_id: "common" }],
  ["a number below its bound", { ...GOOD, poll_seconds: "0" }],
  ["a number above its bound", { ...GOOD, sweep_hours: "721" }],
  ["a word that is not a choice", { ...GOOD, cloud: "moon" }],
  ["a stream that does not exist", { ...GOOD, streams: "alerts,weather" }],
  ["neither yes nor no", { ...GOOD, envelope: "perhaps" }],
  ["hunting without its queries", { ...GOOD, streams: "hunting" }],
  ["the ID of a client secret", { ...GOOD, client_secret: "11111111-2222-3333-4444-555555555555" }],
  ["a control character in a token", { ...GOOD, refresh_token: "a\u0007b" }],
  ["an address without https", { ...GOOD, login_url: "http://login.example" }],
  ["a start in the future", { ...GOOD, start: "2099-01-01T00:00:00Z" }],
  ["several mistakes at once", { tenant_id: "?", client_id: "?", poll_seconds: "x", layout: "round" }],
])("the page refuses %s with the sentences of --validate-arguments", async (_, values) => {
  const found = Object.entries(problemsOf("contoso", values, T0));

  expect(found.length).toBeGreaterThan(0);
  expect(await refusalsOf("contoso", values)).toEqual(found.map(([key, say]) => `contoso: ${key}: ${say}`).toSorted());
});

test("what --validate-arguments accepts, the page accepts", async () => {
  const values = {
    ...GOOD,
    streams: "alerts",
    start: "12h",
    envelope: "false",
    refresh_token: `${"a\"'+/=".repeat(316)}abcd`,
  };

  expect(await refusalsOf("contoso", values)).toEqual([]);
  expect(problemsOf("contoso", values, T0)).toEqual({});
});

test("a list with a box for each word does not speak of commas, and every other help is the table's", () => {
  const streams = FIELDS.find(({ key }) => key === "streams")!;

  expect(streams.help).toContain("separated by commas");
  expect(helpOf(streams)).toMatch(/^What to collect: alerts, incidents/);
  for (const field of FIELDS.filter(({ kind }) => kind.is !== "choices")) expect(helpOf(field)).toBe(field.help);
});

test("what must be given is not called a default", () => {
  const words = Object.fromEntries(FIELDS.map((field) => [field.key, defaultOf(field)]));

  expect(words).toMatchObject({
    client_id: "Required unless credential is set.",
    cloud: "Default: commercial.",
    no_proxy: "Default: from the environment (NO_PROXY).",
  });
  expect(Object.values(words).filter((sentence) => /default: required/i.test(sentence))).toEqual([]);
});

test("an index name is checked on the page, because splunkd accepts every one", () => {
  expect(problemsOf("contoso", { ...GOOD, index: "Not An Index" }, T0)).toMatchObject({ index: expect.anything() });
  expect(problemsOf("contoso", { ...GOOD, index: "customer_contoso" }, T0)).toEqual({});
});

test("an edit sends what changed: neither the mask of a stored secret nor what stayed", () => {
  const before = { tenant_id: "a", client_secret: "********", start: "7d", proxy: "http://p:1" };

  expect(changesOf(before, { ...before, start: "30d", proxy: "" })).toEqual({ start: "30d", proxy: "" });
  expect(changesOf(before, { ...before, client_secret: "new" })).toEqual({ client_secret: "new" });
});

test("a new customer that is saved once more loses what was cleared since, and keeps a secret that was not typed again", () => {
  const sent = { tenant_id: "t", credential: "mssp", client_secret: "typed", index: "contoso" };

  expect(savedAgain(sent, { tenant_id: "t", credential: "", client_id: "c", index: "contoso" })).toEqual({
    tenant_id: "t",
    credential: "",
    client_id: "c",
    index: "contoso",
  });
  expect(savedAgain(sent, { ...sent, client_secret: "new" })).toMatchObject({ client_secret: "new" });
});

test("what somebody else changed meanwhile is named, taken over, and does not touch what was typed here", () => {
  const fields = FIELDS.filter(({ key }) => ["proxy", "cloud", "no_proxy"].includes(key));
  const before = { proxy: "http://a:1", cloud: "", no_proxy: "" };
  const typed = { ...before, no_proxy: "localhost" };

  expect(meanwhileOf(fields, before, before, typed)).toBeUndefined();
  expect(meanwhileOf(fields, before, { ...before, proxy: "http://b:1", other: "x" }, typed)).toEqual({
    titles: ["Proxy"],
    values: { proxy: "http://b:1", cloud: "", no_proxy: "localhost", other: "x" },
  });
});

test("a stored secret that stays is bound to the address that was, so it is named where an address changes", () => {
  const stored = { proxy: "http://a:1", client_secret: "********", refresh_token: "", credential: "" };

  expect(boundSecrets({ tenant_name: "Contoso" }, stored)).toEqual([]);
  expect(boundSecrets({ proxy: "http://b:1" }, stored)).toEqual(["Client secret"]);
  expect(boundSecrets({ proxy: "http://b:1", client_secret: "typed" }, stored)).toEqual([]);
  expect(boundSecrets({ ca_file: "/x.pem" }, { credential: "mssp" })).toEqual(["Shared credential"]);
  expect(boundSecrets({ cloud: "gcc-high" }, { client_secret: "", credential: "" })).toEqual([]);
});

test("a secret that stands in inputs.conf is masked before a page has it", () => {
  expect(masked({ client_secret: "clear", refresh_token: "", tenant_id: "t" })).toEqual({
    client_secret: "********",
    refresh_token: "",
    tenant_id: "t",
  });
});
