import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { deliveriesOf, SAMPLES } from "../../../test/golden/samples.ts";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { writeCef } from "../../format/arcsight/cef.ts";
import { CEF_PROFILES } from "../../format/arcsight/cef-mapping.ts";
import { writeFlatJson } from "../../format/arcsight/flat-json.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import { recordObject } from "../../json/record-object.ts";
import type { Delivery } from "../../model/event.ts";
import { parseInstant } from "../../model/instant.ts";
import { lintCefLine } from "./cef-lint.ts";
import { lint } from "./lint.ts";

const OPTIONS = {
  nowMs: Date.UTC(2026, 10, 24),
  secrets: { file: () => undefined, env: () => undefined, credential: () => undefined },
} as const;

describe("a CEF line that strict readers take draws no finding", () => {
  test.each(SAMPLES.map((sample) => [sample.file, sample] as const))(
    "each line of %s, in every profile and version, evidence included",
    (_file, sample) => {
      const out = new ByteWriter();
      for (const profile of CEF_PROFILES)
        for (const version of [0, 1] as const)
          for (const delivery of deliveriesOf(sample)) writeCef(out, delivery, profile, "each", version);
      const report = lint(out.view(), OPTIONS);
      expect(report.findings).toEqual([]);
      expect(report.what).toBe("cef");
    },
  );

  test.each([
    "Nov 24 19:00:00 host CEF:0|a|b|1|id|name|5|",
    String.raw`CEF:0|a\|b|c\\|1|id|"name"|Very-High|msg=a\=b\\ \n| cs1=x y cs1Label=z rt=1795536358123 src=10.0.0.1 dpt=443`,
  ])("%s", (line) => expect(lintCefLine(line)).toEqual([]));
});

describe("whatever this program writes passes its own lint", () => {
  const CHARACTERS = [
    "\ufffd",
    "\ud800",
    "x\udc00y",
    "|",
    "\\",
    "=",
    "a=b",
    "\r\n",
    "\u0085",
    "\u2028",
    "\u0000",
    " k=v",
    "",
    " ",
  ];
  const TIMES = [
    "1601-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
  ];

  /** The record with other texts and times in all places. */
  function changed(value: unknown, pick: (text: string) => string): unknown {
    if (typeof value === "string") return pick(value);
    if (Array.isArray(value)) return value.map((one) => changed(one, pick));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, changed(one, pick)]));
  }
  const isTime = (text: string) => /^\d{4}-\d\d-\d\dT/.test(text);
  const bodyOf = (record: Delivery["record"], pick: (text: string) => string) => {
    const bytes = Buffer.from(JSON.stringify(changed(recordObject(record.body), pick)));
    return { ...record.body, bytes, start: 0, end: bytes.length, memberCount: 0 };
  };

  test.each(SAMPLES.map((sample) => [sample.file, sample] as const))(
    "with any characters and times in %s",
    (_, sample) => {
      const deliveries = deliveriesOf(sample).slice(0, 3);
      fc.assert(
        fc.property(
          fc.array(fc.oneof(fc.constantFrom(...CHARACTERS), fc.string({ unit: anyCharacter })), { minLength: 1 }),
          fc.constantFrom(...TIMES),
          (texts, time) => {
            const out = new ByteWriter();
            let at = 0;
            const pick = (text: string) => (isTime(text) ? time : `${texts[at++ % texts.length]}`);
            for (const delivery of deliveries) {
              const body = bodyOf(delivery.record, pick);
              const updated = parseInstant(time) ?? delivery.record.updated;
              const one = { ...delivery, record: { ...delivery.record, body, updated, created: updated } };
              for (const profile of CEF_PROFILES)
                for (const version of [0, 1] as const) writeCef(out, one, profile, "each", version);
            }
            expect(lint(out.view(), OPTIONS).findings).toEqual([]);
            expect(lint(out.view(), OPTIONS).what).toBe("cef");
          },
        ),
        { numRuns: 30 },
      );
    },
  );

  test.each(TIMES)("%s means that no time is known: no field is written for it, in CEF and in flat JSON", (time) => {
    const [delivery] = deliveriesOf(SAMPLES[0] as (typeof SAMPLES)[number]);
    const { record } = delivery as NonNullable<typeof delivery>;
    const body = bodyOf(record, (text) => (isTime(text) ? time : text));
    // The reader of instants does not take the year 1, so no record has it as its update time.
    const updated = parseInstant(time) ?? 0n;
    const one = { ...(delivery as NonNullable<typeof delivery>), record: { ...record, body, updated } };
    const out = new ByteWriter();
    writeCef(out, one, "xdr");
    expect(Buffer.from(out.take()).toString()).not.toMatch(/ (?:rt|start|end|deviceCustomDate2)=/);
    writeFlatJson(out, one);
    const flat = JSON.parse(Buffer.from(out.take()).toString()) as Record<string, unknown>;
    expect(Object.keys(flat).filter((name) => name.endsWith("Time"))).toEqual([]);
  });

  test("bytes that are not UTF-8 are found, and U+FFFD itself is a character", () => {
    const line = Buffer.from("CEF:0|a|b|1|id|\ufffd|5|\n");
    expect(lint(line, OPTIONS).findings).toEqual([]);
    const broken = Buffer.concat([
      line,
      Buffer.from("CEF:0|a|b|1|id|"),
      Buffer.from([0xe4]),
      Buffer.from("|5|\r\n"),
      line,
    ]);
    expect(lint(broken, OPTIONS).findings).toEqual([
      { line: 2, level: "error", say: "the line contains bytes that are not UTF-8" },
    ]);
  });
});

test("a comment that names CEF:1 does not make a properties file CEF", () => {
  expect(lint(Buffer.from("# CEF:0 or CEF:1\nmax_eps=1\n"), OPTIONS).what).toBe("properties");
});

test("a line of version 1 may have its keys and an IPv6 address as a source", () => {
  const line = "CEF:1|a|b|1|id|name|5|src=2001:db8::1 threatActor=x reportedResourceID=y\n";
  expect(lint(Buffer.from(line), OPTIONS).findings).toEqual([]);
});

describe("what a reader would reject is reported in one sentence", () => {
  test.each([
    ["CEF:0|a|b|1|id|name|5", "fewer than seven pipes"],
    ["CEF:2|a|b|1|id|name|5|", "the version is 2; readers know CEF:0 and CEF:1"],
    ["CEF:0|a|b|1|id|name|5|threatActor=x", "threatActor belongs to CEF:1"],
    ["CEF:1|a|b|1|id|name|5|src=x", "not an IPv4 address"],
    ["CEF:0|a|b|1|id|name|5|flexNumber1=1", "flexNumber1 has no flexNumber1Label"],
    [String.raw`CEF:0|a|b|1|id|na\"me|5|`, String.raw`name contains \"`],
    ["CEF:0|a|b|1|id|name|11|", "severity"],
    ["CEF:0||b|1|id|name|5|", "deviceVendor is empty"],
    [`CEF:0|a|b|1|id|${"n".repeat(513)}|5|`, "name has 513 characters"],
    ["CEF:0|a|b|1|id|name|5|msg=a=b", "msg contains an unescaped ="],
    [String.raw`CEF:0|a|b|1|id|name|5|msg=a\|b`, String.raw`msg contains \|`],
    [String.raw`CEF:0|a|b|1|id|name|5|msg=a\tb`, String.raw`msg contains \t`],
    ["CEF:0|a|b|1|id|name|5|cs1=x", "cs1 has no cs1Label"],
    ["CEF:0|a|b|1|id|name|5|customerURI=x", "set only by connectors"],
    ["CEF:0|a|b|1|id|name|5|fooBar=x", "Additional Data"],
    ["CEF:0|a|b|1|id|name|5|src=::1", "not an IPv4 address"],
    ["CEF:0|a|b|1|id|name|5|src=999.1.1.1", "not an IPv4 address"],
    ["CEF:0|a|b|1|id|name|5|c6a2=fe80 c6a2Label=x", "not an IPv6 address"],
    ["CEF:0|a|b|1|id|name|5|rt=2026-11-24T19:00:00Z", "epoch milliseconds"],
    ["CEF:0|a|b|1|id|name|5|dpt=https", "not a whole number"],
    ["CEF:0|a|b|1|id|name|5|msg=a msg=b", "msg occurs twice"],
    ["CEF:0|a|b|1|id|name|5|nonsense", "does not begin with key="],
    [
      `CEF:0|a|b|1|id|name|5|cs1Label=x cs1=${"ä".repeat(4000)} cs2Label=y cs2=${"b".repeat(1000)}`,
      "receivers truncate it at 8192 bytes by default",
    ],
  ])("%s", (line, wanted) => {
    expect(lintCefLine(line).join("; ")).toContain(wanted);
  });

  test("an empty line makes an empty event", () => {
    expect(lint(Buffer.from("CEF:0|a|b|1|id|name|5|\n\nCEF:0|a|b|1|id|name|5|\n"), OPTIONS).findings).toEqual([
      { line: 2, level: "error", say: expect.stringContaining("empty event") },
    ]);
  });
});

describe("a properties file from stdin", () => {
  test("the template is in order but for what must be filled in", () => {
    const template = readFileSync(new URL("../../../arcsight/defender-mssp.properties.template", import.meta.url));
    const report = lint(template, OPTIONS);
    expect(report.what).toBe("properties");
    expect(report.findings.filter(({ level }) => level === "error").map(({ say }) => say.replace(/;.*/, ""))).toEqual([
      "tenants[0]: tenant_id: is missing",
      "tenants[0]: client_id: is missing",
    ]);
  });

  test("text that is neither CEF nor a known properties file is reported", () => {
    for (const text of ["", "an alert without CEF\n"])
      expect(lint(Buffer.from(text), OPTIONS).findings).toEqual([
        { line: 0, level: "note", say: expect.stringContaining("no CEF: line and no key of this helper") },
      ]);
  });

  test("what is wrong with an output is said once", () => {
    const text = "tenants[0].tenant_id=11111111-2222-3333-4444-555555555555\noutputs[0].type=csv\n";
    expect(lint(Buffer.from(text), OPTIONS).findings.filter(({ say }) => say.includes("csv"))).toHaveLength(1);
  });

  test("any other file is read as Java reads it", () => {
    expect(lint(Buffer.from("agents[0].path=C:\\temp\n"), OPTIONS)).toEqual({
      what: "properties",
      lines: 2,
      findings: [
        { line: 1, level: "error", say: expect.stringContaining("C:/temp") },
        { line: 0, level: "note", say: expect.stringContaining("no CEF: line and no key of this helper") },
      ],
    });
  });

  test("an old connector file is gone through line by line", () => {
    const text =
      "client_ID=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\ntoken_url=https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/token\nscope=\n";
    const report = lint(Buffer.from(text), OPTIONS);
    expect(report.findings.filter(({ line }) => line > 0).map(({ line, level }) => [line, level])).toEqual([
      [1, "note"],
      [2, "note"],
      [3, "note"],
    ]);
  });
});

describe("a properties file", () => {
  test("made for serve alone misses no output", () => {
    const say = (text: string) => lint(Buffer.from(text), OPTIONS).findings.map((finding) => finding.say);
    const customer =
      "tenants[0].tenant_id=11111111-2222-3333-4444-555555555555\ntenants[0].client_id=11111111-2222-3333-4444-555555555555\n";

    expect(say(customer).join()).toContain("there is no output for events");
    expect(say(`${customer}serve.listen=127.0.0.1:44380\n`)).toEqual([]);
  });

  test("has each line named once, in front", () => {
    const report = lint(
      Buffer.from("tenants[0].tenant_id=x y\ntenants[0].tenant_name=M\u00fcller\noutputs[0].path=C:\\temp\n"),
      OPTIONS,
    );

    expect(report.findings.map(({ line }) => line)).toEqual(expect.arrayContaining([1, 2, 3]));
    expect(report.findings.filter(({ line, say }) => line > 0 && /line \d/i.test(say))).toEqual([]);
    expect(lint(Buffer.from("a=1\nb=C:\\users\n"), OPTIONS).findings).toMatchObject([
      { line: 2, say: expect.stringMatching(/^b contains/) },
    ]);
  });
});
