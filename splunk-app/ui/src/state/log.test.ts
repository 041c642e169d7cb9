import { expect, test } from "@jest/globals";
import { lineLog } from "../../../../src/format/log-line.ts";
import { logLinesOf, logSearch } from "./log.ts";

/** A row of a search for a line that the program's own log wrote. */
function rowOf(message: string, fields: Readonly<Record<string, string>>) {
  let line = "";
  lineLog((text) => {
    line = text;
  }, "info").warn(message, fields);
  const text = line.trim().replace(/^WARN /, "");
  return { at: "1795608000.5", log_level: "WARN", event_message: `message from "/opt/bin/defender_mssp" ${text}` };
}

test("a line shows the customer that the program's log names, with quotes and backslashes as they were", () => {
  const names = ["contoso", "Two Words", 'The "Best" Ltd', "back\\slash", "a=b"];
  const lines = logLinesOf([
    ...names.map((tenant) => rowOf("state changed", { tenant, state: "ok" })),
    rowOf("a secret is stored", { customer: "fabrikam" }),
    rowOf("started", { version: "1" }),
  ]);

  expect(lines.map(({ customer }) => customer)).toEqual([...names, "fabrikam", ""]);
  expect(lines[0]).toMatchObject({
    atMs: 1_795_608_000_500,
    level: "WARN",
    text: "state changed tenant=contoso state=ok",
  });
});

test("splunkd's own line about the program is shown whole", () => {
  const text = "New scheduled exec process: /opt/bin/defender_mssp (pid 7)";

  expect(logLinesOf([{ at: "1", log_level: "INFO", event_message: text }])[0]).toMatchObject({ customer: "", text });
});

test("a search keeps what was typed inside its quotes", () => {
  expect(logSearch("errors", ' a" | delete ')).toBe(
    'index=_internal sourcetype=splunkd defender_mssp event_message="*defender_mssp*" NOT log_level=INFO NOT log_level=DEBUG NOT log_level=WARN event_message="*a\\" | delete*"',
  );
});
