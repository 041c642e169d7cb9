import { describe, expect, test } from "@jest/globals";
import { readQueryFile } from "./query-file.ts";

const file = (...queries: unknown[]): string => JSON.stringify({ queries });

describe("a file of hunting queries", () => {
  test("what is left out has its default", () => {
    const { queries, problems } = readQueryFile(
      `\uFEFF${file({ name: "Encoded PowerShell", kql: "DeviceProcessEvents" }, { name: "b.2", kql: "x", every_minutes: 5, window_minutes: 20, delay_minutes: 0, customers: ["contoso"] })}`,
    );
    expect(problems).toEqual([]);
    expect(queries).toEqual([
      { name: "Encoded PowerShell", kql: "DeviceProcessEvents", everyMinutes: 60, windowMinutes: 60, delayMinutes: 5 },
      { name: "b.2", kql: "x", everyMinutes: 5, windowMinutes: 20, delayMinutes: 0, customers: ["contoso"] },
    ]);
  });

  test.each<[string, string, readonly RegExp[]]>([
    ["not JSON", "{", [/not JSON/]],
    ["a list", "[]", [/must contain \{"queries":\[…\]\}/]],
    ["no query", file(), [/contains no queries/]],
    ["no object", file(5), [/queries\[0\] is not an object/]],
    ["nothing in it", file({}), [/queries\[0\]: name must have 1 to 64/, /queries\[0\]: kql must be/]],
    ["a name that would break the key", file({ name: "a:b/c", kql: "x" }), [/queries\[0\]: name must have 1 to 64/]],
    ["a long name", file({ name: "x".repeat(65), kql: "x" }), [/name must have 1 to 64/]],
    ["a blank query", file({ name: "a", kql: " \n" }), [/queries\[0\] \(a\): kql must be/]],
    ["a huge query", file({ name: "a", kql: "x".repeat(100_001) }), [/100001 characters/]],
    [
      "minutes as text",
      file({ name: "a", kql: "x", every_minutes: "60" }),
      [/every_minutes must be a whole number from 1 to 10080/],
    ],
    ["no minutes", file({ name: "a", kql: "x", every_minutes: 0 }), [/every_minutes must be/]],
    [
      "a window that leaves a gap",
      file({ name: "a", kql: "x", every_minutes: 60, window_minutes: 30 }),
      [/window_minutes must be a whole number from 60 to 43200/],
    ],
    ["an unknown member", file({ name: "a", kql: "x", Every_minutes: 5 }), [/Every_minutes is not a known member/]],
    ["no customer", file({ name: "a", kql: "x", customers: [] }), [/customers must be a list/]],
    [
      "a name twice",
      file({ name: "a", kql: "x" }, { name: "A", kql: "y" }),
      [/queries\[1\] \(A\): another query already has this name/],
    ],
  ])("%s is said", (_, text, wanted) => {
    const { problems } = readQueryFile(text);
    expect(problems).toHaveLength(wanted.length);
    wanted.forEach((shape, i) => {
      expect(problems[i]).toMatch(shape);
    });
  });

  test.each([
    ["a key, named by mistake", "s3cret-of-contoso\n", "The file is not JSON."],
    ["a comma too few", '{"queries":[\n{"name":"s3cret" "kql":"x"}]}', "The file is not JSON (line 2 column 18)."],
    ["a comma too many", '{"queries":[\n{"name":"a","kql":"s3cret"},]}', "The file is not JSON."],
  ])("%s: the place is named, the content never", (_, text, said) => {
    expect(readQueryFile(text)).toEqual({ queries: [], problems: [said] });
  });

  test("one bad query does not take the others along", () => {
    expect(
      readQueryFile(file({ name: "a", kql: "x" }, { name: "b" }, { name: "c", kql: "z" })).queries.map(
        ({ name }) => name,
      ),
    ).toEqual(["a", "c"]);
  });
});
