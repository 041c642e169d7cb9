import { expect, test } from "@jest/globals";
import { parseConf, renderConf } from "../../test/harness/splunkd/conf.ts";
import { answerIn, answerSettings, requestIn, requestSettings } from "./request-stanza.ts";

/** What comes back of a stanza after splunkd wrote its file and read it again. */
function kept(settings: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  const text = renderConf(new Map([["key", new Map(Object.entries(settings))]]));
  const conf = parseConf(text);
  expect([...conf.keys()]).toEqual(["key"]);
  expect(text).toMatch(/^[\n -~]+$/);
  expect(text.split("\n")).toHaveLength(Object.keys(settings).length + 2);
  return Object.fromEntries(conf.get("key") ?? []);
}

const HOSTILE = [
  " spaces at both ends ",
  "a backslash at the end\\",
  "two lines\nask = credential-delete\n[another]",
  "a carriage return\r\n[another]",
  "# no comment",
  "[brackets]",
  `quotes " and ' and \\" too`,
  "Zürich 東京 \u2028 \u{1f600} \u0000",
  "$SPLUNK_HOME %41 &lt;",
];

test.each(HOSTILE)("a customer called %j asks for itself, in one line of the file", (customer) => {
  expect(requestIn(kept(requestSettings(customer, "doctor")))).toMatchObject({ customer, ask: "doctor" });
});

test.each(HOSTILE)("an answer that says %j comes back as it was, in one line of the file", (say) => {
  const answer = { customer: "contoso", ask: "doctor", state: "done", ok: false, say, answered_at: "2026-01-01" };
  const settings = kept({ ...requestSettings("contoso", "doctor"), ...answerSettings(answer) });

  expect(answerIn(settings)).toEqual(answer);
  expect(requestIn(settings)).toEqual({
    customer: "contoso",
    ask: "doctor",
    state: "done",
    answered_at: "2026-01-01",
  });
});

test.each([undefined, "", "{", "7", "null", '"text"', "[1]"])("a stanza whose JSON is %j asks nothing", (text) => {
  expect(requestIn({ request: text })).toMatchObject({ customer: undefined, ask: undefined });
  expect(answerIn({ answer: text })["state"]).toBeUndefined();
});

test("what a request says of its answer is not read from the request", () => {
  const request = JSON.stringify({ customer: "contoso", ask: "doctor", state: "done", checks: [] });
  expect(requestIn({ request })).toEqual({
    customer: "contoso",
    ask: "doctor",
    state: undefined,
    answered_at: undefined,
  });
});
