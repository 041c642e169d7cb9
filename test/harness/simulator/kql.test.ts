import { describe, expect, test } from "@jest/globals";
import { BadQuery, runKql } from "./api/kql.ts";

const NOW_MS = Date.parse("2026-11-24T08:00:00Z");

const ROWS = [
  '{"Timestamp":"2026-11-24T07:59:00.5000001Z","FileName":"cmd.exe","ProcessId":4,"Score":1.50,"Blocked":true}',
  '{"Timestamp":"2026-11-24T07:00:00Z","FileName":"powershell.exe","ProcessId":40,"Score":0.1,"Blocked":false}',
  '{"Timestamp":"2026-11-20T07:00:00.25Z","FileName":"CMD.exe","ProcessId":400,"Score":2,"Blocked":null}',
];

const run = (query: string) => runKql(query, new Map([["DeviceProcessEvents", ROWS]]), NOW_MS);

/** The numbers of the rows that came out, by ProcessId. */
const ids = (query: string): unknown[] =>
  run(query).rows.map((row) => (JSON.parse(row) as { ProcessId: number }).ProcessId);

describe("the simulator's hunting", () => {
  test.each([
    ["", [4, 40, 400]],
    ["| where Timestamp > ago(1d)", [4, 40]],
    ["| where Timestamp between (datetime(2026-11-20) .. datetime(2026-11-21))", [400]],
    ["| where FileName == 'cmd.exe'", [4]],
    ["| where FileName =~ 'cmd.exe' and not(ProcessId == 4)", [400]],
    ["| where FileName has 'powershell' or ProcessId >= 400", [40, 400]],
    ['| where FileName in ("cmd.exe", "powershell.exe")', [4, 40]],
    ["| where FileName !contains 'cmd' // a comment", [40]],
    ["| where Blocked == true", [4]],
    ["| order by Timestamp asc | take 1", [400]],
    ["| top 2 by ProcessId desc", [400, 40]],
    ["| sort by ProcessId desc | limit 1", [400]],
  ])("answers the query DeviceProcessEvents %s", (stages, wanted) => {
    expect(ids(`DeviceProcessEvents ${stages}`)).toEqual(wanted);
  });

  test("keeps the bytes of a row that nothing reshaped, and projects columns in the order asked for", () => {
    expect(run("DeviceProcessEvents | take 1").rows).toEqual([ROWS[0]]);
    expect(run("DeviceProcessEvents | take 1 | project FileName, ProcessId").rows).toEqual([
      '{"FileName":"cmd.exe","ProcessId":4}',
    ]);
  });

  test("names types in the schema as Microsoft does", () => {
    expect(run("DeviceProcessEvents").columns).toEqual([
      { name: "Timestamp", type: "DateTime" },
      { name: "FileName", type: "String" },
      { name: "ProcessId", type: "Int64" },
      { name: "Score", type: "Double" },
      { name: "Blocked", type: "SByte" },
    ]);
  });

  test("counts by columns with summarize", () => {
    expect(run("DeviceProcessEvents | summarize Number=count() by Blocked").rows).toEqual([
      '{"Blocked":true,"Number":1}',
      '{"Blocked":false,"Number":1}',
      '{"Blocked":null,"Number":1}',
    ]);
    expect(run("DeviceProcessEvents | summarize count()").rows).toEqual(['{"count_":3}']);
    expect(run("DeviceProcessEvents | count").rows).toEqual(['{"Count":3}']);
  });

  test.each([
    ["NoSuchTable", "Failed to resolve table"],
    ["DeviceProcessEvents | where Nothing == 1", "Failed to resolve column"],
    ["DeviceProcessEvents | join DeviceEvents on DeviceId", "'join' operator is not supported"],
    ["DeviceProcessEvents | where FileName ==", "Syntax error"],
    ["DeviceProcessEvents | take", "Syntax error"],
    ["", "Syntax error"],
  ])("refuses the query '%s'", (query, sentence) => {
    expect(() => run(query)).toThrow(BadQuery);
    expect(() => run(query)).toThrow(sentence);
  });
});
