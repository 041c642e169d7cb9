import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../test/harness/any-character.ts";
import { readExactly, readProperties, readPropertiesText, withProperties } from "./java-properties.ts";

interface Case {
  readonly id: string;
  readonly note: string;
  readonly latin1Text: string;
  readonly expected?: Readonly<Record<string, string>>;
  readonly error?: string;
}

const { cases } = JSON.parse(
  readFileSync(new URL("../../test/fixtures/arcsight/java-properties-cases.json", import.meta.url), "utf8"),
) as {
  cases: readonly Case[];
};

describe("a properties file is read as Java reads it", () => {
  test("all 46 cases are there", () => expect(cases).toHaveLength(46));

  test.each(cases.map((one) => [one.id, one.note, one] as const))("%s: %s", (_id, _note, { latin1Text, expected }) => {
    const reading = readExactly(latin1Text);
    const values = reading.ok
      ? Object.fromEntries([...reading.byKey].map(([key, { value }]) => [key, value]))
      : undefined;
    expect(values).toEqual(expected);
  });
});

describe("whoever typed the file is told what Java makes of it", () => {
  test("C:\\users is refused in one sentence that names line and remedy", () => {
    expect(readPropertiesText("a=1\noutputs[0].path=C:\\users\\svc\n")).toEqual({
      ok: false,
      line: 2,
      say: "Line 2: outputs[0].path contains \\u without four hex digits after it, so Java rejects the whole file; write the path with slashes (C:/users) or doubled backslashes (C:\\\\users).",
    });
  });

  test("C:\\temp is read as Java does, with the advice", () => {
    const reading = readPropertiesText("\noutputs[0].path=C:\\temp\\new\n");
    expect(reading.ok && reading.byKey.get("outputs[0].path")).toEqual({
      key: "outputs[0].path",
      value: "C:\temp\new",
      line: 2,
    });
    expect(reading.ok && reading.advice).toEqual([
      {
        line: 2,
        key: "outputs[0].path",
        about: "backslash",
        say: expect.stringContaining("write C:/temp or C:\\\\temp"),
      },
    ]);
  });

  test.each(["outputs[0].path=C:\\\\temp\n", "outputs[0].path=C:/temp\n", "auth_url=https\\://login\n"])(
    "no advice where none is needed: %j",
    (text) => {
      expect(readPropertiesText(text)).toMatchObject({ ok: true, advice: [] });
    },
  );

  test("a byte order mark is passed over and named", () => {
    const reading = readProperties(Buffer.from("\ufeffclient_id=x\n", "utf8"));
    expect(reading.ok && reading.byKey.get("client_id")?.value).toBe("x");
    expect(reading.ok && reading.advice.map(({ about }) => about)).toEqual(["bom"]);
  });

  test("UTF-8 letters are read as Java reads them, with the advice", () => {
    const reading = readProperties(Buffer.from("tenants[0].tenant_name=Söhne\n", "utf8"));
    expect(reading.ok && reading.byKey.get("tenants[0].tenant_name")?.value).toBe("SÃ¶hne");
    expect(reading.ok && reading.advice).toEqual([
      { line: 1, key: "tenants[0].tenant_name", about: "utf-8", say: expect.stringContaining("\\u escapes") },
    ]);
  });

  test("a joined entry names the line on which it begins", () => {
    const reading = readPropertiesText("# c\n\nstreams=alerts,\\\n  incidents\nlog_level=warn\n");
    expect(reading.ok && reading.entries.map(({ key, line }) => [key, line])).toEqual([
      ["streams", 3],
      ["log_level", 5],
    ]);
  });

  test("no message repeats a value", () => {
    const secret = "s3cr3t\\utoken";
    const reading = readPropertiesText(`client_secret=${secret}\n`);
    expect(JSON.stringify(reading)).not.toContain("s3cr3t");
  });
});

describe("one value is put into a file and nothing else changes", () => {
  test("a present key keeps its place, a new one comes last", () => {
    expect(withProperties("# mine\r\nrefresh_token = old\\\r\n  er\r\nscope=\r\n", [["refresh_token", "new"]])).toBe(
      "# mine\r\nrefresh_token=new\r\nscope=\r\n",
    );
    expect(withProperties("scope=", [["refresh_token", "0.A="]])).toBe("scope=\nrefresh_token=0.A=\n");
  });

  test.each(["a=b\\", "a=b\\\n", "a=b\\\r\n", "a=b\\\\\\", "a=b\\\\", "a=b", "a=b\n"])(
    "a new key is a line of its own behind %j",
    (text) => {
      const before = readPropertiesText(text);
      const after = readPropertiesText(withProperties(text, [["refresh_token", "0.A="]]));
      const valuesOf = (read: typeof before) => read.ok && read.entries.map(({ key, value }) => [key, value]);
      expect(valuesOf(after)).toEqual([...(valuesOf(before) || []), ["refresh_token", "0.A="]]);
    },
  );

  test("any key and value come back as they were", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: anyCharacter, minLength: 1 }),
        fc.string({ unit: anyCharacter }),
        fc.string({ unit: "grapheme-ascii" }),
        (key, value, before) => {
          const text = before.replaceAll("\\", "");
          const reading = readPropertiesText(withProperties(text, [[key, value]]));
          expect(reading.ok && reading.byKey.get(key)?.value).toBe(value);
        },
      ),
    );
  });
});
