import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { readConf } from "./conf-file.ts";
import { readPropertiesText } from "./java-properties.ts";
import { readConfRoster, readPropertiesRoster } from "./roster-file.ts";

const CONF = `# inputs of the SOC
[defender_mssp]
interval = 60
cloud = gcc

# the first customer
[defender_mssp://contoso]
tenant_id = contoso.com
index = old \\
  name
client_secret = typed

[monitor:///var/log]
index = os
`;
const PROPERTIES = `# the helper
state_dir=/var/lib/x

tenants[3].tenant_name=M\\u00fcller
tenants[3].tenant_id: a.com
tenants[3].client_secret=s3cret
! tenants[9].tenant_id=commented
outputs[0].type=file
`;

const FORMS = [
  ["inputs.conf", CONF, readConfRoster, "contoso"],
  ["a properties file", PROPERTIES, readPropertiesRoster, "Müller"],
] as const;

const opened = (read: (text: string) => ReturnType<typeof readConfRoster>, text: string) => {
  const roster = read(text);
  if (!roster.ok) throw new Error(roster.say);
  return roster;
};

describe.each(FORMS)("the customers of %s", (_, text, read, name) => {
  const change = (kind: "add" | "change" | "remove", who: string, values: Record<string, string> = {}) =>
    opened(read, text).with([{ kind, name: who, values }]);

  test("are found with their settings, without their secrets", () => {
    const [customer] = opened(read, text).customers;
    expect(customer?.name).toBe(name);
    expect(customer?.values["tenant_id"]).toMatch(/\.com$/);
    expect(JSON.stringify(customer)).not.toMatch(/typed|s3cret/);
  });

  test("grow at the end of the file, and what was there stays byte for byte", () => {
    const after = change("add", "new", { tenant_id: "b.com", streams: "alerts" });
    expect(after.startsWith(text)).toBe(true);
    expect(opened(read, after).customers.map((one) => one.name)).toEqual([name, "new"]);
    expect(opened(read, after).customers[1]?.values).toMatchObject({ tenant_id: "b.com", streams: "alerts" });
  });

  test("change only in the line of the setting", () => {
    const after = change("change", name, { tenant_id: "c.com" });
    const [before, now] = [text.split("\n"), after.split("\n")];
    expect(now.filter((line) => !before.includes(line))).toHaveLength(1);
    expect(opened(read, after).customers[0]?.values["tenant_id"]).toBe("c.com");
  });

  test("can get a setting that they did not have", () => {
    const after = change("change", name, { streams: "alerts" });
    expect(opened(read, after).customers).toEqual([
      { name, values: { ...opened(read, text).customers[0]?.values, streams: "alerts" } },
    ]);
  });

  test("leave nothing behind when removed, and comments stay", () => {
    const after = change("remove", name);
    expect(opened(read, after).customers).toEqual([]);
    expect(after).not.toMatch(/typed|s3cret/);
    for (const line of text.split("\n").filter((one) => /^[#!]/.test(one))) expect(after).toContain(line);
  });

  test("added and removed again leave the file as it was for its readers", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: fc.constantFrom(..."abÄ日=:#! \\".split("")), minLength: 1, maxLength: 9 }), {
          maxLength: 6,
        }),
        fc.constantFrom("\n", "\r\n"),
        (endings, lineEnd) => {
          const names = endings.map((ending) => `n${ending}x`);
          const start = text.replaceAll("\n", lineEnd);
          const roster = opened(read, start);
          const full = roster.with(names.map((one) => ({ kind: "add", name: one, values: { tenant_id: "b.com" } })));
          expect(opened(read, full).customers.map((one) => one.name)).toEqual([name, ...names]);
          expect(full.split(/\r?\n/).length).toBe(full.split(lineEnd).length);
          const back = opened(read, full).with(names.map((one) => ({ kind: "remove", name: one, values: {} })));
          expect(back.trimEnd()).toBe(start.trimEnd());
        },
      ),
    );
  });
});

test.each([
  ["above", `[monitor:///var/log]\nindex = os\n\n${CONF.slice(0, CONF.indexOf("[monitor:"))}`],
  ["below", CONF],
])("a stanza beside the customers, %s them, keeps its own settings of the same name", (_, conf) => {
  const roster = opened(readConfRoster, conf);
  const after = roster.with([{ kind: "change", name: "contoso", values: { index: "soc" } }]);
  const indexOf = (name: string) => readConf(after).find((stanza) => stanza.name === name)?.values["index"];
  expect([indexOf("defender_mssp://contoso"), indexOf("monitor:///var/log")]).toEqual(["soc", "os"]);
  expect(roster.common).toEqual({ interval: "60", cloud: "gcc" });
});

test("a customer added to a file without a final line end does not join its last line", () => {
  const add = [{ kind: "add", name: "new", values: { tenant_id: "b.com" } }] as const;
  expect(opened(readConfRoster, "[x]\na = 1").with(add)).toBe(
    "[x]\na = 1\n\n[defender_mssp://new]\ntenant_id = b.com\n",
  );
  const properties = opened(readPropertiesRoster, "a=1").with(add);
  expect(properties).toBe("a=1\n\ntenants[0].tenant_name=new\ntenants[0].tenant_id=b.com\n");
});

test("a new block of a properties file gets a number that no block has had", () => {
  const after = opened(readPropertiesRoster, PROPERTIES).with([
    { kind: "remove", name: "Müller", values: {} },
    { kind: "add", name: "new", values: { tenant_id: "b.com" } },
  ]);
  const reading = readPropertiesText(after);
  expect(reading.ok && [...reading.byKey.keys()].filter((key) => key.startsWith("tenants"))).toEqual([
    "tenants[4].tenant_name",
    "tenants[4].tenant_id",
  ]);
});

test("an old connector file is refused, because it can hold only one customer", () => {
  expect(readPropertiesRoster("client_ID=x\nrefresh_token=y\n")).toMatchObject({ ok: false });
});
