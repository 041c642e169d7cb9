import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../test/harness/any-character.ts";
import { isFailure } from "../model/failure.ts";
import { formatInstant } from "../model/instant.ts";
import type { PageRecord, RecordHead, SourceRecord, UnreadableRecord } from "../model/record.ts";
import { type AnswerOptions, AnswerScanner, type HugeRecordSink, scanAnswer } from "./answer-scanner.ts";
import { KIND, KIND_MASK, memberField, NAME_END, NAME_START, VALUE_END, VALUE_START } from "./member-table.ts";

const GRAPH: AnswerOptions = {
  shape: "value-object",
  fields: {
    kind: "alert",
    id: "id",
    updated: "lastUpdateDateTime",
    created: "createdDateTime",
    tenant: "tenantId",
    service: "serviceSource",
  },
  recordMaxBytes: 1 << 20,
};
const XDR: AnswerOptions = {
  shape: "value-object",
  fields: { kind: "incident", id: "incidentId", updated: "lastUpdateTime", created: "createdTime" },
  recordMaxBytes: 1 << 20,
  nest: {
    member: "alerts",
    fields: { kind: "alert", id: "alertId", updated: "lastUpdatedTime", service: "serviceSource" },
  },
};

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const bodyText = ({ body }: SourceRecord): string =>
  new TextDecoder().decode(body.bytes.subarray(body.start, body.end));

function readable(record: PageRecord | undefined): SourceRecord {
  if (record?.readable !== true) throw new Error(`not readable: ${JSON.stringify(record)}`);
  return record;
}

function unreadable(record: PageRecord | undefined): UnreadableRecord {
  if (record?.readable !== false) throw new Error("readable");
  return record;
}

/**
 * `text` with the raw control characters inside its strings as escapes: the one thing that the scanner takes
 * and `JSON.parse` refuses (docs/decisions/member-scanner.md).
 */
function controlsEscaped(text: string): string {
  return text.replaceAll(/"(?:\\[^\p{Cc}]|[^"\\])*"/gu, (string) =>
    string.replaceAll(/\p{Cc}/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}

/** A record as it is while it is valid. */
function kept(record: PageRecord): PageRecord {
  return record.readable ? { ...record, body: structuredClone(record.body) } : record;
}

/**
 * Pushes `bytes` in pieces cut at `cuts`; each piece's memory is wiped once its records were looked at, as a
 * decoder does that uses it again.
 */
function scanInPieces(bytes: Uint8Array, cuts: readonly number[], options: AnswerOptions) {
  const scanner = new AnswerScanner(options);
  const records: PageRecord[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    const piece = bytes.slice(from, cut);
    records.push(...scanner.push(piece).map(kept));
    piece.fill(0);
    from = cut;
  }
  return { records, end: scanner.end() };
}

function memberTexts(record: SourceRecord): string[] {
  const { body } = record;
  const text = (from: number, to: number): string =>
    new TextDecoder().decode(body.bytes.subarray(body.start + from, body.start + to));
  return Array.from(
    { length: body.memberCount },
    (_, i) =>
      `${text(memberField(body, i, NAME_START), memberField(body, i, NAME_END))} ${memberField(body, i, KIND) & KIND_MASK} ${text(
        memberField(body, i, VALUE_START),
        memberField(body, i, VALUE_END),
      )}`,
  );
}

const ALERT =
  '{"id":"a1","lastUpdateDateTime":"2026-11-24T16:05:58.0066667Z","n":1.10,"big":12345678901234567890,"mssp":{"x":1},"n":2}';

const nestedAlert = (id: string): string =>
  `{"alertId":"${id}","lastUpdatedTime":"2026-11-24T16:35:23.85Z","title":"a & b"}`;

describe("a record's members come out as Microsoft wrote them", () => {
  test("with numbers, duplicates, order and a member of this program's name kept byte for byte", () => {
    const { records, end } = scanAnswer(
      `{"@odata.context":"c","value":[${ALERT}],"@odata.nextLink":"https:\\/\\/x/y?a=1&b=\\u0032"}`,
      GRAPH,
    );

    const record = readable(records[0]);
    expect(bodyText(record)).toBe(ALERT);
    expect(memberTexts(record)).toEqual([
      '"id" 3 "a1"',
      '"lastUpdateDateTime" 3 "2026-11-24T16:05:58.0066667Z"',
      '"n" 2 1.10',
      '"big" 2 12345678901234567890',
      '"mssp" 6 {"x":1}',
      '"n" 2 2',
    ]);
    expect(record.id).toBe("a1");
    expect(formatInstant(record.updated)).toBe("2026-11-24T16:05:58.0066667Z");
    expect(end.nextLink).toBe("https://x/y?a=1&b=2");
    expect(end.members.get("@odata.context")).toBe('"c"');
  });

  test.each([
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":null}', 0],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":false}', 1],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":-1.5e+30}', 2],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":"s"}', 3],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":[]}', 4],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":[1,"a",null]}', 4],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":[1,[]]}', 5],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":[{"a":[1]}]}', 5],
    ['{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","k":{"a":[1]}}', 6],
  ])("with %s as a last member of kind %d", (text, kind) => {
    const { body } = readable(scanAnswer(`{"value":[${text}]}`, GRAPH).records[0]);
    expect(memberField(body, 2, KIND) & KIND_MASK).toBe(kind);
  });

  test("without white space outside strings, but with it inside strings", () => {
    const spaced =
      '\n{ "value" : [ { "id" : "a b" ,\r\n "lastUpdateDateTime" : "2026-11-24T16:05:58Z" , "e" : [ 1 , { } ] } , ] }'.replace(
        ", ]",
        "]",
      );
    const record = readable(scanAnswer(spaced, GRAPH).records[0]);
    expect(bodyText(record)).toBe('{"id":"a b","lastUpdateDateTime":"2026-11-24T16:05:58Z","e":[1,{}]}');
    expect(memberTexts(record)[2]).toBe('"e" 5 [1,{}]');
  });

  test("with the places noted that an XML writer must escape, also after white space and across a cut", () => {
    const text = '{"value":[{"id":"a&b", "lastUpdateDateTime":"2026-11-24T16:05:58Z","<n>":{"x":"1<2 && 3>2"}}]}';
    for (let cut = 0; cut <= text.length; cut++) {
      const record = readable(scanInPieces(utf8(text), [cut], GRAPH).records[0]);
      const own = bodyText(record);
      const { body } = record;
      const noted = Array.from(body.escapes.subarray(body.firstEscape, body.firstEscape + body.escapeCount));
      expect(noted).toEqual([...own.matchAll(/[&<>]/g)].map((m) => m.index));
    }
  });

  test("with raw control characters and the two that XML forbids as escapes, so that the record is not lost", () => {
    const record = readable(
      scanAnswer(
        '{"value":[{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","t":"x\u0001\ty\ufffe\uffff\ufffd"}]}',
        GRAPH,
      ).records[0],
    );
    expect(memberTexts(record)[2]).toBe('"t" 3 "x\\u0001\\u0009y\\ufffe\\uffff\ufffd"');
  });

  test("without a byte-order mark in front, wherever the chunk ends", () => {
    const bytes = utf8(`\ufeff{"value":[${ALERT}]}`);
    for (let cut = 0; cut < 8; cut++) expect(scanInPieces(bytes, [cut], GRAPH).records).toHaveLength(1);
  });
});

describe("the id and times of a record are read", () => {
  test.each([
    ['"id":924565', "924565"],
    ['"id":"caf\\u00e9\\n"', "café\n"],
    ['"id":"日本"', "日本"],
    ['"\\u0069d":"x"', "x"],
    ['"id":"first","id":"last"', "last"],
  ])("%s", (member, id) => {
    expect(
      readable(scanAnswer(`{"value":[{${member},"lastUpdateDateTime":"2026-11-24T16:05:58Z"}]}`, GRAPH).records[0]).id,
    ).toBe(id);
  });

  test("with the tenant in lower case, the service as written, and perhaps without a creation time", () => {
    const text =
      '{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","tenantId":"AB-Cd","serviceSource":"microsoftDefenderForEndpoint"}';
    const { records } = scanAnswer(`{"value":[${text},${text}]}`, GRAPH);
    for (const record of records) {
      expect(readable(record).payloadTenantId).toBe("ab-cd");
      expect(readable(record).service).toBe("microsoftDefenderForEndpoint");
      expect("created" in readable(record)).toBe(false);
    }
  });

  test("from the hash of its bytes and from the window for a row without id and time", () => {
    const options: AnswerOptions = {
      shape: "results",
      fields: { kind: "row", id: { sha256: true }, updated: "Timestamp", updatedFallback: 5n },
      recordMaxBytes: 1000,
    };
    for (const list of ["results", "Results"]) {
      const { records, end } = scanAnswer(`{"schema":[{"name":"A"}],"${list}":[{ "A" : 1 }]}`, options);
      expect(readable(records[0]).id).toBe(createHash("sha256").update('{"A":1}').digest("hex"));
      expect(readable(records[0]).updated).toBe(5n);
      expect(end.members.get("schema")).toBe('[{"name":"A"}]');
    }
  });

  test("from the bare array of the retired SIEM API", () => {
    const { records } = scanAnswer(
      '[{"FullId":"1:2","LastProcessedTimeUtc":"2017-05-07T01:56:58.9936648Z"},{"FullId":"3:4","LastProcessedTimeUtc":"2017-05-07T01:56:58Z"}]',
      {
        shape: "bare-array",
        fields: { kind: "alert", id: "FullId", updated: "LastProcessedTimeUtc" },
        recordMaxBytes: 1000,
      },
    );
    expect(records.map((r) => readable(r).id)).toEqual(["1:2", "3:4"]);
    expect(scanAnswer("[]", { shape: "bare-array", fields: GRAPH.fields, recordMaxBytes: 10 }).records).toEqual([]);
  });
});

describe("P7: alerts inside an incident are records of their own", () => {
  const head = '"incidentId":924565,"lastUpdateTime":"2026-11-24T16:05:58.0066667Z"';
  test.each([
    ["last", `{${head},"alerts":[${nestedAlert("x")},${nestedAlert("y")}]}`, `{${head}}`, 2],
    ["first", `{"alerts":[${nestedAlert("x")}],${head}}`, `{${head}}`, 1],
    ["in the middle", `{"a":"<","alerts":[${nestedAlert("x")}],${head}}`, `{"a":"<",${head}}`, 1],
    ["alone but for what stands before", `{ ${head} , "alerts" : [ ] , "z" : 1 }`, `{${head},"z":1}`, 0],
    ["twice", `{"alerts":[${nestedAlert("x")}],"alerts":[${nestedAlert("y")}],${head}}`, `{${head}}`, 2],
    ["null", `{${head},"alerts":null}`, `{${head},"alerts":null}`, 0],
    ["an object", `{${head},"alerts":{"a":[]}}`, `{${head},"alerts":{"a":[]}}`, 0],
    ["missing", `{${head}}`, `{${head}}`, 0],
    ["with an escaped name", `{${head},"\\u0061lerts":[${nestedAlert("x")}]}`, `{${head}}`, 1],
  ])("with alerts %s", (_where, incident, wanted, alerts) => {
    const bytes = utf8(`{"value":[${incident}]}`);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { records } = scanInPieces(bytes, [cut], XDR);
      expect(records.map((r) => readable(r).kind)).toEqual([...Array<string>(alerts).fill("alert"), "incident"]);
      const incidentRecord = readable(records.at(-1));
      expect(bodyText(incidentRecord)).toBe(wanted);
      expect(incidentRecord.id).toBe("924565");
      expect(incidentRecord.nested).toBeUndefined();
      expect(memberTexts(incidentRecord)).toEqual(
        Object.entries(JSON.parse(wanted) as object).map(([name]) => expect.stringContaining(`"${name}" `)),
      );
      for (const record of records.slice(0, -1)) {
        expect(readable(record).nested).toBe(true);
        expect(formatInstant(readable(record).updated)).toBe("2026-11-24T16:35:23.8500000Z");
      }
    }
  });

  test("when the incident far above the limit goes out whole in its parts", () => {
    const alerts = Array.from({ length: 2000 }, (_, i) => nestedAlert(`a${i}`));
    const { records } = scanInPieces(utf8(`{"value":[{${head},"alerts":[${alerts.join()}]}]}`), [1000, 70_000], {
      ...XDR,
      recordMaxBytes: 200,
    });
    expect(records.filter((r) => readable(r).kind === "alert")).toHaveLength(2000);
    expect(bodyText(readable(records.at(-1)))).toBe(`{${head}}`);
  });
});

describe("an element that is not a usable record is named, not lost and not fatal", () => {
  const good = '{"id":"g","lastUpdateDateTime":"2026-11-24T16:05:58Z"}';
  test.each([
    ["no-id", '{"lastUpdateDateTime":"2026-11-24T16:05:58Z"}', undefined],
    ["no-id", '{"id":null,"lastUpdateDateTime":"2026-11-24T16:05:58Z"}', undefined],
    ["no-id", '{"id":"","lastUpdateDateTime":"2026-11-24T16:05:58Z"}', undefined],
    ["no-time", '{"id":"x"}', "x"],
    ["no-time", '{"id":"x","lastUpdateDateTime":"yesterday"}', "x"],
    ["not-an-object", "null", undefined],
    ["not-an-object", "-1.5", undefined],
    ["not-an-object", '[[],{"id":1}]', undefined],
    ["not-an-object", '"text"', undefined],
    ["malformed", '{"id":"x","lastUpdateDateTime":"2026-11-24T16:05:58Z","a":tru}', undefined],
    ["malformed", '{"id":"x""b":1}', undefined],
    ["malformed", '{"id":"x","b":01}', undefined],
    ["malformed", '{"id":"x",}', undefined],
    ["malformed", '{"id":"x","b":[1,]}', undefined],
    ["malformed", '{"id":"x","b":"\\q}"}', undefined],
    ["malformed", '{"id":"x","b":"\\u12g4"}', undefined],
    ["malformed", `{"id":"x","b":${"[".repeat(600)}${"]".repeat(600)}}`, undefined],
  ])("as %s: %s", (reason, bad, id) => {
    const { records } = scanAnswer(`{"value":[${good},${bad},${good}]}`, GRAPH);
    expect(records).toHaveLength(3);
    const record = unreadable(records[1]);
    expect(record.reason).toBe(reason);
    expect(record.id).toBe(id);
    expect(record.byteLength).toBe(bad.length);
    expect(record.sha256).toBe(createHash("sha256").update(bad).digest("hex"));
  });

  test("as one above the limit, which is counted and hashed but never held", () => {
    const huge = `{"big":"${"x".repeat(5000)}","id":"h&h","n":[${"1,".repeat(3000)}1],"lastUpdateDateTime":"2026-11-24T16:05:58Z","tail":"${"é".repeat(2000)}"}`;
    const bytes = utf8(`{"value":[${good},${huge},${good}]}`);
    for (const step of [1, 7, 1000, bytes.length]) {
      const cuts = Array.from({ length: Math.floor((bytes.length - 1) / step) }, (_, i) => (i + 1) * step);
      const { records } = scanInPieces(bytes, cuts, { ...GRAPH, recordMaxBytes: 600 });
      expect(records.map((r) => r.readable)).toEqual([true, false, true]);
      const record = unreadable(records[1]);
      expect(record).toEqual({
        readable: false,
        reason: "too-large",
        id: "h&h",
        updated: readable(records[0]).updated,
        byteLength: utf8(huge).length,
        sha256: createHash("sha256").update(huge).digest("hex"),
      });
    }
  });

  test("but one above the limit can pass through in pieces, without white space, nested alerts and broken UTF-8", () => {
    const inside = `{"alertId":"x","lastUpdatedTime":"2026-11-24T16:35:23.85Z"}`;
    const before = `"incidentId":7,"lastUpdateTime":"2026-11-24T16:05:58Z"`;
    const after = `"b":"${"y & é".repeat(300)}"`;
    const text =
      `{"value":[{${before}, "a" : "${"x".repeat(500)}" ,"alerts":[${inside}] ,${after},"bad":"\u{1}"}]}`.replace(
        "\u{1}",
        "@@",
      );
    const bytes = utf8(text);
    bytes[text.indexOf("@@") + (bytes.length - text.length)] = 0xff;
    const wanted = `{${before},"a":"${"x".repeat(500)}",${after},"bad":"\ufffd@"}`;
    for (const step of [1, 13, 400]) {
      const heads: RecordHead[] = [];
      let got = "";
      const ends: boolean[] = [];
      let counted: number | undefined;
      const decoder = new TextDecoder("utf-8", { fatal: true });
      const huge: HugeRecordSink = {
        begin: (head) => {
          heads.push(head);
          return true;
        },
        piece: (piece) => {
          got += decoder.decode(piece, { stream: true });
        },
        end: (complete, head) => {
          ends.push(complete);
          counted = head?.invalidUtf8Count;
        },
      };
      const cuts = Array.from({ length: Math.floor((bytes.length - 1) / step) }, (_, i) => (i + 1) * step);
      const { records } = scanInPieces(bytes, cuts, { ...XDR, recordMaxBytes: 300, huge });
      expect(records.map((r) => readable(r).id)).toEqual(["x"]);
      expect(heads.map((h) => h.id)).toEqual(["7"]);
      expect(got).toBe(wanted);
      expect(ends).toEqual([true]);
      // The nested record has none of its own.
      expect([counted, readable(records[0]).invalidUtf8Count]).toEqual([1, undefined]);
    }
  });

  test("and whoever takes the pieces may scan another answer before the rest of this one is read", () => {
    const next = '{"id":"next","lastUpdateDateTime":"2026-11-24T16:05:58Z","a":"<b>"}';
    const huge: HugeRecordSink = {
      begin: () => true,
      piece: () => {},
      end: () => {
        expect(scanAnswer(`{"value":[${good},${good}]}`, GRAPH).records).toHaveLength(2);
      },
    };
    const first = `{"id":"huge","lastUpdateDateTime":"2026-11-24T16:05:58Z","big":"${"x".repeat(500)}"}`;
    const { records } = scanAnswer(`{"value":[${first},${next}]}`, { ...GRAPH, recordMaxBytes: 300, huge });
    expect(records.map((record) => bodyText(readable(record)))).toEqual([next]);
    expect(readable(records[0]).body.escapeCount).toBe(2);
  });
});

describe("an answer with another content is refused with one sentence", () => {
  test.each([
    ["", "empty"],
    ["   ", "empty"],
    ["<html>", "not JSON"],
    ["{", "ended early"],
    ['{"value":[{"id":"a"', "ended early"],
    ['{"value":[]', "ended early"],
    ["{}", "missing"],
    ['{"error":{"code":"x"}}', "missing"],
    ['{"value":null}', "not a list"],
    ['{"value":{"id":"a"}}', "not a list"],
    ['{"value":"text"}', "not a list"],
    ['{"value":["a","b"]}', "plain strings"],
    ["[]", "not an object"],
    ['"text"', "not an object"],
    ['{"value":[]}x', "not JSON"],
    ['{"value":[]}{}', "not JSON"],
    ['{"value":[{"id":"a"}]]}', "not JSON"],
    ['{"value":[{"id":"a"]}', "not JSON"],
    ['{"value":[{} {}]}', "not JSON"],
    ['{"value":[],}', "not JSON"],
    ['{"value":[tru]}', "not JSON"],
    [`{"x":"${"x".repeat(2 << 20)}","value":[]}`, "envelope"],
  ])("for %.40s", (text, says) => {
    let thrown: unknown;
    try {
      scanInPieces(utf8(text), [Math.floor(text.length / 2)], GRAPH);
    } catch (error) {
      thrown = error;
    }
    expect(isFailure(thrown) && thrown.code).toBe("bad-answer");
    expect((thrown as Error).message).toContain(says);
  });
});

describe("property: the scanner and JSON.parse agree on", () => {
  /** JSON text with white space wherever the grammar allows it. */
  const space = fc.constantFrom("", "", "", " ", "\n\t", "\r\n  ");
  const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.10",
        "-1e-7",
        "20.5E+3",
        "12345678901234567890123",
        '""',
        '"a\\"&<\\\\"',
        '"\\ud83d\\ude00 \\u0000"',
      ),
      fc.string({ unit: anyCharacter }).map((text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f")),
      fc
        .tuple(
          space,
          fc.array(
            fc.tuple(space, tie("value"), space).map((p) => p.join("")),
            { maxLength: 4 },
          ),
        )
        .map(([s, items]) => `[${s}${items.join()}]`),
      fc
        .tuple(
          space,
          fc.array(fc.tuple(space, fc.string({ maxLength: 5 }), space, space, tie("value"), space), { maxLength: 4 }),
        )
        .map(
          ([s, members]) =>
            `{${s}${members.map(([a, name, b, c, v, d]) => `${a}${JSON.stringify(name)}${b}:${c}${v}${d}`).join()}}`,
        ),
    ),
  })).value;
  const record = fc
    .tuple(fc.array(fc.tuple(fc.string({ maxLength: 6 }), jsonText), { maxLength: 6 }), space, fc.nat())
    .map(
      ([members, s, id]) =>
        `{${s}"id":"r${id}","lastUpdateDateTime":"2026-11-24T16:05:58.1Z"${members.map(([n, v]) => `,${s}${JSON.stringify(`_${n}`)}:${s}${v}`).join("")}${s}}`,
    );
  const answer = fc
    .tuple(fc.array(record, { maxLength: 5 }), space, jsonText, fc.array(fc.nat(2000), { maxLength: 6 }))
    .map(([records, s, other, cuts]) => ({
      text: `${s}{${s}"x":${other},"value":${s}[${s}${records.join(`${s},`)}${s}]${s},"y":${s}1}${s}`,
      cuts,
    }));

  test("records, members and order, however the bytes are cut", () => {
    fc.assert(
      fc.property(answer, ({ text, cuts }) => {
        const bytes = utf8(text);
        const sorted = cuts.filter((c) => c < bytes.length).sort((a, b) => a - b);
        const parsed = JSON.parse(text) as { value: { id: string }[]; x: unknown };

        const { records, end } = scanInPieces(bytes, sorted, GRAPH);

        expect(records).toHaveLength(parsed.value.length);
        records.forEach((r, i) => {
          const own = readable(r);
          expect(JSON.parse(bodyText(own))).toEqual(parsed.value[i]);
          expect(own.id).toBe(parsed.value[i]!.id);
          const joined = `{${memberTexts(own)
            .map((line) => line.replace(/^("(?:[^"\\]|\\.)*") \d (.*)$/su, "$1:$2"))
            .join()}}`;
          expect(joined).toBe(bodyText(own));
        });
        expect(JSON.parse(end.members.get("x")!)).toEqual(parsed.x);
      }),
      { numRuns: 400 },
    );
  });

  test("which damaged bytes are accepted", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(...utf8('"\\{}[],:0-.eEtn \u007f/u'))), {
      minLength: 1,
      maxLength: 3,
    });
    const rule = fc.property(answer, damage, ({ text, cuts }, changes) => {
      const bytes = utf8(text);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      const damaged = new TextDecoder().decode(bytes);
      let parsed: unknown;
      try {
        parsed = JSON.parse(controlsEscaped(damaged));
      } catch {
        parsed = undefined;
      }
      const list = (parsed as { value?: unknown } | undefined)?.value;

      let records: readonly PageRecord[] | undefined;
      try {
        records = scanInPieces(
          bytes,
          cuts.filter((c) => c < bytes.length).sort((a, b) => a - b),
          GRAPH,
        ).records;
      } catch (error) {
        if (!isFailure(error)) throw error;
      }

      const taken = records !== undefined && !records.some((r) => !r.readable && r.reason === "malformed");
      // A list that begins with a text is good JSON and no answer.
      fc.pre(!(Array.isArray(list) && typeof list[0] === "string"));
      const wanted = Array.isArray(list);
      return taken === wanted || (parsed !== undefined && !wanted);
    });
    expect(() => fc.assert(rule, { numRuns: 600 })).not.toThrow();
  });

  test("invalid UTF-8, which becomes U+FFFD as in a decoder and is counted", () => {
    const oddBytes = fc.array(
      fc.oneof(
        fc.integer({ min: 0x80, max: 0xff }),
        fc.constantFrom(0x41, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xed, 0xa0, 0xef, 0xbf, 0xbe, 0xbd),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(oddBytes, fc.nat(14), (odd, cut) => {
        const [before, after] = ['{"value":[{"id":"a","lastUpdateDateTime":"2026-11-24T16:05:58Z","t":"', '"}]}'];
        const bytes = Uint8Array.from([...utf8(before), ...odd, ...utf8(after)]);
        const { records } = scanInPieces(bytes, [before.length + Math.min(cut, odd.length)], GRAPH);
        const decoded = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(odd));
        expect((JSON.parse(bodyText(readable(records[0]))) as { t: string }).t).toBe(decoded);
        const already = decoded.split("\ufffd").length - 1;
        const sentAsSuch = Buffer.from(odd).toString("latin1").split("\u00ef\u00bf\u00bd").length - 1;
        expect(readable(records[0]).invalidUtf8Count ?? 0).toBe(already - sentAsSuch);
      }),
      { numRuns: 1000 },
    );
  });
});
