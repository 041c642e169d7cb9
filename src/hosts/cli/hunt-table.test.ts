import { expect, test } from "@jest/globals";
import { parseExactly } from "../../json/exact-numbers.ts";
import { huntTable } from "./hunt-table.ts";

test("rows of several customers stand in one table, whatever columns each brought", () => {
  const rows = [
    { customer: "contoso", values: { FileName: "cmd.exe", count_: 5 } },
    { customer: "fabrikam", values: { FileName: null, Extra: { a: [1] }, Signed: false } },
  ];
  expect(huntTable(rows)).toBe(
    [
      "customer  FileName  count_  Extra      Signed",
      "--------  --------  ------  ---------  ------",
      "contoso   cmd.exe   5",
      'fabrikam                    {"a":[1]}  false',
      "",
    ].join("\n"),
  );
});

test("an answer cannot steer the terminal or break the table", () => {
  const table = huntTable([{ customer: "a", values: { x: "\u001b[31mred\r\nline", y: "z".repeat(500) } }]);
  expect(table.split("\n")).toHaveLength(4);
  expect(table).toContain(" [31mred line");
  expect(table).toContain(`${"z".repeat(47)}…`);
});

test("a number of the answer has all its digits in the table", () => {
  const values = parseExactly('{"ProcessUniqueId":-9007199254740993287,"Id":9007199254740993}') as object;
  const [, , row] = huntTable([{ customer: "a", values: { ...values } }]).split("\n");
  expect(row?.split(/ +/)).toEqual(["a", "-9007199254740993287", "9007199254740993"]);
});

test("without rows the table is empty", () => expect(huntTable([])).toBe(""));
