import { describe, expect, test } from "@jest/globals";
import { writeCef } from "../../src/format/arcsight/cef.ts";
import { CEF_KEYS, type CefKey } from "../../src/format/arcsight/cef-dictionary.ts";
import { CEF_PROFILES, eventClassIds, mappingTable } from "../../src/format/arcsight/cef-mapping.ts";
import { writeFlatJson } from "../../src/format/arcsight/flat-json.ts";
import { siemRows } from "../../src/format/arcsight/siem-rows.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { readCef } from "../../test/contracts/strict-cef.ts";
import { deliveriesOf, SAMPLES } from "../../test/golden/samples.ts";
import {
  categorizerFile,
  categorizerPath,
  fieldsPage,
  filterText,
  PARSER_PROFILES,
  parserFile,
} from "./arcsight-files.ts";

type JsonRow = Readonly<Record<string, string | number | boolean | null>>;
type Properties = ReadonlyMap<string, string>;

/** Enough of Java's .properties for our own files: no line is continued, backslashes are doubled. */
function readProperties(text: string): Properties {
  const rows = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    rows.map(
      (line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1).replaceAll("\\\\", "\\")] as const,
    ),
  );
}

function literal(text: string): string {
  return text.slice(1, -1);
}

/**
 * What ArcSight would make of one JSON object, as far as our files' operations go; undefined where a token is
 * missing.
 */
function evaluate(expression: string, record: JsonRow): string | undefined {
  const call = /^(__\w+)\((.*)\)$/s.exec(expression);
  if (call === null) {
    const value = record[expression];
    return value === undefined || value === null || value === "" ? undefined : String(value);
  }
  const [, operation = "", inside] = call;
  const args = argumentsOf(inside!);
  switch (operation) {
    case "__stringConstant":
      return literal(args[0]!);
    case "__longToTimeStamp":
    case "__safeToLong":
      return evaluate(args[0]!, record);
    case "__oneOf":
      return args.map((arg) => evaluate(arg, record)).find((value) => value !== undefined);
    case "__concatenate": {
      const parts = args.map((arg) => (arg.startsWith('"') ? literal(arg) : evaluate(arg, record)));
      return parts.includes(undefined) ? undefined : parts.join("");
    }
    case "__ifThenElse": {
      const value = evaluate(args[0]!, record);
      return value === undefined ? undefined : value === literal(args[1]!) ? literal(args[2]!) : literal(args[3]!);
    }
    case "__replaceFirst": {
      // Java writes the flag into the pattern.
      const pattern = new RegExp(literal(args[1]!).replace("(?s)", ""), "s");
      return evaluate(args[0]!, record)?.replace(pattern, () => literal(args[2]!));
    }
    case "__regexTokenAsAddress":
      return new RegExp(literal(args[1]!)).exec(evaluate(args[0]!, record) ?? "")?.[1];
    case "__regexTokenFindAndJoin": {
      const found = new RegExp(literal(args[1]!)).exec(evaluate(args[0]!, record) ?? "");
      return found?.slice(1).join(literal(args[2]!));
    }
    case "__parseMultipleTimeStamp":
      return String(Date.parse(`${evaluate(args[0]!, record)!.replace(" ", "T")}Z`));
    default:
      throw new Error(`${operation} is not in our files`);
  }
}

function argumentsOf(text: string): string[] {
  const args: string[] = [];
  let depth = 0;
  let quoted = false;
  let current = "";
  for (const sign of text) {
    if (sign === '"') quoted = !quoted;
    if (!quoted) depth += sign === "(" ? 1 : sign === ")" ? -1 : 0;
    if (sign === "," && depth === 0 && !quoted) {
      args.push(current);
      current = "";
    } else current += sign;
  }
  return [...args, current];
}

function eventOf(parser: Properties, record: JsonRow): ReadonlyMap<string, string> {
  const event = new Map<string, string>();
  for (const [key, expression] of parser) {
    const value = key.startsWith("event.") ? evaluate(expression, record) : undefined;
    if (value !== undefined) event.set(key.slice(6), value);
  }
  return event;
}

describe("the parser file and the CEF writer give the same event", () => {
  test("for xdr, from flat JSON, field by field", () => {
    const parser = readProperties(parserFile("xdr"));
    for (const delivery of SAMPLES.flatMap(deliveriesOf)) {
      const [json, cef] = [new ByteWriter(), new ByteWriter()];
      writeFlatJson(json, delivery);
      writeCef(cef, delivery, "xdr");
      const event = eventOf(parser, JSON.parse(json.toString()) as JsonRow);
      const { header, extension } = readCef(cef.toString().trimEnd());
      expect(
        ["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId"].map((field) => event.get(field)),
      ).toEqual(header.slice(0, 4));
      for (const [key, value] of extension) {
        const { fullName } = CEF_KEYS[key as CefKey];
        // A size or a long id is CEF's affair alone.
        if (
          value.endsWith("…") ||
          value.startsWith("sha256:") ||
          extension.get(`${key}Label`) === "Full Id" ||
          value === "Full Id"
        )
          continue;
        expect([fullName, event.get(fullName)]).toEqual([fullName, value]);
      }
    }
  });

  test("for legacy, from rows of the retired API's form, in all published fields", () => {
    const parser = readProperties(parserFile("legacy"));
    const sample = SAMPLES.find(({ stream }) => stream === "siem-alerts")!;
    for (const delivery of deliveriesOf(sample)) {
      const cef = new ByteWriter();
      writeCef(cef, delivery, "legacy");
      const event = eventOf(parser, siemRows(delivery, "2026-11-24T16:05:58.0000000Z")[0]! as unknown as JsonRow);
      const { header, extension } = readCef(cef.toString().trimEnd());
      expect([event.get("name"), event.get("deviceSeverity")]).toEqual(header.slice(4));
      for (const { key, from } of mappingTable.legacy.rows.filter(
        ({ from: name }) => name in siemRows(delivery, "")[0]!,
      )) {
        const value = extension.get(key);
        const got = event.get(CEF_KEYS[key].fullName);
        // The pattern for ISO times has no fraction.
        expect([from, got]).toEqual([from, from === "AlertTime" ? `${value!.slice(0, -3)}000` : value]);
      }
    }
  });

  test("with every token counted and a field for every mapped row", () => {
    for (const profile of PARSER_PROFILES) {
      const parser = readProperties(parserFile(profile));
      const tokens = Array.from(parser.keys()).filter((key) => /^token\[\d+\]\.name$/.test(key));
      expect(parser.get("token.count")).toBe(String(tokens.length));
      const known = new Set(tokens.map((key) => parser.get(key)!));
      for (const [key, expression] of parser) {
        const words = key.startsWith("event.")
          ? expression.replace(/"[^"]*"/g, "").match(/\b(?!__)[a-zA-Z]\w*/g)
          : null;
        for (const word of words ?? []) expect(known).toContain(word);
      }
    }
  });
});

test("the categorizer file has one row per class id", () => {
  const [head, ...rows] = categorizerFile().trimEnd().split("\n");
  expect(rows.map((row) => row.split(",")[0])).toEqual(eventClassIds());
  for (const row of rows) {
    expect(row.split(",")).toHaveLength(head!.split(",").length);
    for (const value of row.split(",").slice(1)) expect(value).toMatch(/^\/[A-Z]/);
  }
  const categories = new Map(rows.map((row) => [row.split(",")[0], row.split(",").slice(4)] as const));
  // A prevented attack has the same class id as one that succeeded.
  for (const id of eventClassIds().filter((one) => one.startsWith("alert:")))
    expect(categories.get(id)).toEqual(["/Suspicious", "/Attempt"]);
  expect(categories.get("health:credential-expiring")).toEqual(["/Informational/Warning", "/Success"]);
  expect(categories.get("health:signed-out")).toEqual(["/Informational/Error", "/Failure"]);
  expect(categorizerPath("xdr")).toBe("acp/categorizer/current/microsoft/microsoft_defender_xdr.csv");
  expect(categorizerPath("mcas")).toBe("acp/categorizer/current/mcas/siem_agent.csv");
  expect(categorizerPath("legacy")).toBe("acp/categorizer/current/microsoft/microsoft_defender_atp.csv");
});

test("the docs page and the filter text name every key, label and class id of the table", () => {
  const page = fieldsPage();
  for (const profile of CEF_PROFILES) {
    const { rows, rowsOfVersion1 } = mappingTable[profile];
    for (const { key, from, label } of [...rows, ...rowsOfVersion1]) {
      expect(page).toContain(`| \`${key}\` | \`${CEF_KEYS[key].fullName}\` | \`${from}\` | ${label ?? ""} |`);
    }
    expect(page).toContain(filterText(profile));
  }
  for (const id of eventClassIds()) expect(page).toContain(`\`${id}\``);
});
