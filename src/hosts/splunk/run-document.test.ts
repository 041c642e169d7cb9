import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import type { SplunkStanza } from "./run-document.ts";
import { openedStanzas, parseDocument, readDocumentText } from "./run-document.ts";

const FIXTURES = path.resolve(import.meta.dirname, "../../../test/fixtures/splunk-sdk");

/** A stanza's values as the check of the settings gets them. */
const valuesOf = (stanza: SplunkStanza | undefined): Readonly<Record<string, string>> =>
  openedStanzas(stanza === undefined ? [] : [stanza])[0]?.values ?? {};

/** A pipe that stays open after these pieces, as splunkd leaves it. */
async function* openPipe(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
  await new Promise(() => {});
}

async function* closedPipe(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
}

const read = async (bytes: Uint8Array) => parseDocument(await readDocumentText(openPipe([bytes]), new FakeClock()));

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function runDocument(params: string, name = "defender_mssp://a"): string {
  return `<?xml version="1.0" encoding="UTF-8"?><input><server_host>h</server_host><server_uri>https://127.0.0.1:8089</server_uri><session_key>k</session_key><checkpoint_dir>/c</checkpoint_dir><configuration><stanza name="${name}" app="TA_defender_mssp">${params}</stanza></configuration></input>`;
}

describe("public samples are read without waiting for end of file", () => {
  const files = ["go", "javascript", "otel", "python"].flatMap((folder) =>
    readdirSync(path.join(FIXTURES, folder))
      .filter((file) => /^(conf_with|validation\.xml|.*\.inputs\.xml|.*\.sample(config|valid)\.xml)/.test(file))
      .map((file) => `${folder}/${file}`),
  );

  test("there are such samples", () => expect(files.length).toBeGreaterThanOrEqual(15));

  test.each(files)("%s", async (file) => {
    const document = await read(readFileSync(path.join(FIXTURES, file)));
    const stanzas = document.stanzas.map((stanza) => ({ ...stanza, values: valuesOf(stanza) }));
    expect({ ...document, stanzas, sessionKey: document.sessionKey?.open((key) => key) }).toMatchSnapshot();
  });
});

describe("a value arrives as it was typed", () => {
  test.each([
    ["0123", "0123"],
    ["1e5", "1e5"],
    ["true", "true"],
    ["null", "null"],
    ["0x1F", "0x1F"],
    ["  two spaces  ", "  two spaces  "],
    ["a&amp;b&lt;c&gt;d&quot;e&apos;f", `a&b<c>d"e'f`],
    ["&amp;lt;", "&lt;"],
    ["&amp;amp;amp;", "&amp;amp;"],
    ["&#233;&#xE9;&#x1F600;", "éé😀"],
    ["Grüße 客户", "Grüße 客户"],
    ["<![CDATA[a<b&amp;c]]>", "a<b&amp;c"],
    ["x<!-- note -->y", "xy"],
    ["&lt;/input&gt;", "</input>"],
    ["", ""],
    ["&unknown;", "&unknown;"],
  ])("%j", async (written, typed) => {
    const [stanza] = (await read(Buffer.from(runDocument(`<param name="client_secret">${written}</param>`)))).stanzas;
    expect(valuesOf(stanza)["client_secret"]).toBe(typed);
  });

  test("whatever the text", () => {
    fc.assert(
      // Control characters cannot stand in XML 1.0; carriage returns are normalised by XML itself.
      fc.property(
        fc.string({ unit: anyCharacter }).map((text) => text.replace(/[^\t\n\u0020-\uD7FF\uE000-\uFFFD]/g, "")),
        (text) => {
          const [stanza] = parseDocument(runDocument(`<param name="x">${escaped(text)}</param>`)).stanzas;
          expect(valuesOf(stanza)["x"]).toBe(text);
        },
      ),
    );
  });

  test("an entity that XML does not know stays as it is written, whatever it is called", () => {
    const [stanza] = parseDocument(runDocument(`<param name="start">&constructor; &amp;amp;</param>`)).stanzas;
    expect(Object.entries(valuesOf(stanza))).toEqual([["start", "&constructor; &amp;"]]);
  });

  test("a name like an object's own property is only a name", () => {
    const [stanza] = parseDocument(
      runDocument(`<param name="__proto__">p</param><param name="constructor">c</param>`),
    ).stanzas;
    expect(Object.entries(valuesOf(stanza))).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
  });

  test("lists, the stanza's name with and without scheme, its app", () => {
    const [stanza] = parseDocument(
      runDocument(
        `<param_list name="streams"><value>alerts</value><value>incidents</value></param_list>`,
        "defender_mssp://Müller &amp; Söhne",
      ),
    ).stanzas;
    expect({ ...stanza, values: valuesOf(stanza) }).toEqual({
      fullName: "defender_mssp://Müller & Söhne",
      name: "Müller & Söhne",
      app: "TA_defender_mssp",
      values: { streams: "alerts,incidents" },
    });
  });
});

test("a value that many stanzas have is held once, and every stanza has its own ones", () => {
  const param = (name: string, value: string) => `<param name="${name}">${value}</param>`;
  const stanzas = ["a", "b"].map(
    (name) =>
      `<stanza name="defender_mssp://${name}">${param("graph_url", "https://gateway.example")}${param("client_secret", `of-${name}`)}</stanza>`,
  );
  const [a, b] = parseDocument(`<input><configuration>${stanzas.join("")}</configuration></input>`).stanzas;

  expect(a?.values["graph_url"]).toBe(b?.values["graph_url"]);
  expect([valuesOf(a), valuesOf(b)]).toEqual([
    { graph_url: "https://gateway.example", client_secret: "of-a" },
    { graph_url: "https://gateway.example", client_secret: "of-b" },
  ]);
});

test("a document in memory prints no value, whatever setting it stands under", () => {
  const document = parseDocument(
    runDocument(`<param name="client_secret">hunter2</param><param name="client_sceret">hunter3</param>`),
  );
  for (const printed of [inspect(document, { depth: 9 }), JSON.stringify(document)])
    expect(printed).not.toMatch(/hunter[23]/);
});

describe("encodings go by the bytes", () => {
  const text = runDocument(`<param name="tenant_name">Grüße 客户 😀</param>`);
  const le = Buffer.from(text, "utf16le");
  const be = Buffer.from(le).swap16();
  test.each<[string, Uint8Array]>([
    ["UTF-8", Buffer.from(text)],
    ["UTF-8 with mark", Buffer.from(`\uFEFF${text}`)],
    ["UTF-8 declared utf-16", Buffer.from(text.replace("UTF-8", "utf-16"))],
    ["UTF-16 LE with mark", Buffer.concat([Buffer.from([0xff, 0xfe]), le])],
    ["UTF-16 BE with mark", Buffer.concat([Buffer.from([0xfe, 0xff]), be])],
    ["UTF-16 LE", le],
    ["UTF-16 BE", be],
  ])("%s", async (_, bytes) => {
    expect(valuesOf((await read(bytes)).stanzas[0])["tenant_name"]).toBe("Grüße 客户 😀");
    // The last byte of little-endian UTF-16 may come late; every split must do.
    for (let at = 1; at < bytes.length; at += 1) {
      const pieces = [bytes.subarray(0, at), bytes.subarray(at)];
      const [stanza] = parseDocument(await readDocumentText(openPipe(pieces), new FakeClock())).stanzas;
      expect(valuesOf(stanza)["tenant_name"]).toBe("Grüße 客户 😀");
    }
  });
});

describe("what cannot be read gets one plain sentence without content", () => {
  test.each([
    ["<input><session_key>hunter2", "well-formed"],
    ["<input><session_key>hunter2</input>", "well-formed"],
    ["<!DOCTYPE x [<!ENTITY a 'hunter2'>]><input></input>", "DOCTYPE"],
    ["<other>hunter2</other>", "neither <input> nor <items>"],
    ["hunter2", "well-formed"],
  ])("%s", async (text, part) => {
    const document = readDocumentText(closedPipe([Buffer.from(text)]), new FakeClock()).then(parseDocument);
    await expect(document).rejects.toMatchObject({ code: "document-malformed", say: expect.stringContaining(part) });
    await expect(document).rejects.not.toThrow("hunter2");
  });

  test("nothing at all", async () => {
    await expect(readDocumentText(closedPipe([]), new FakeClock())).rejects.toMatchObject({ code: "document-empty" });
  });

  test("a document that never ends is given up", async () => {
    const clock = new FakeClock();
    const reading = readDocumentText(openPipe([Buffer.from("<input>")]), clock);
    clock.endPauses();
    await expect(reading).rejects.toMatchObject({ code: "document-late", say: expect.stringContaining("30 s") });
  });

  test("an unexpected element spoils its own stanza only", () => {
    const text = runDocument(`<editor name="x">1</editor>`).replace(
      "</configuration>",
      `<stanza name="defender_mssp://b"><param name="x">1</param></stanza></configuration>`,
    );
    const document = parseDocument(text);
    expect(document.problems).toEqual([
      {
        stanza: "a",
        key: "stanza",
        say: "splunkd's document contains the unexpected element <editor>; save this input again in Splunk",
      },
    ]);
    expect(document.stanzas.map((one) => one.name)).toEqual(["b"]);
  });
});
