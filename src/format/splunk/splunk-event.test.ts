import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { AnswerScanner, scanAnswer } from "../../json/answer-scanner.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import type { RosterReport } from "../../model/roster-report.ts";
import type { StreamName } from "../../model/stream.ts";
import type { Tenant, TenantId } from "../../model/tenant.ts";
import { writeHecHealth } from "./hec-event.ts";
import {
  beginStreamedEvent,
  type EventStyle,
  endStreamedEvent,
  sourcetypeOf,
  writeHealthLine,
  writeJsonLine,
  writeSplunkEvent,
  writeSplunkHealth,
  writeStreamedPiece,
} from "./splunk-event.ts";

const TENANT: Tenant = { id: "b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c" as TenantId, name: "Contoso", cloud: "gcc" };
const STYLE: EventStyle = {
  layout: "scalars-first",
  envelope: true,
  alertsSourcetype: "split",
  classicEntities: false,
};
const HEAD = '"id":"a1","lastUpdateDateTime":"2026-11-24T16:05:58.0066667Z"';

function delivery(record: string, parts: Partial<Delivery> = {}): Delivery {
  const fields = { kind: "alert", id: "id", updated: "lastUpdateDateTime", service: "serviceSource" } as const;
  const [first] = scanAnswer(`{"value":[${record}]}`, {
    shape: "value-object",
    fields,
    recordMaxBytes: 1 << 20,
  }).records;
  if (first?.readable !== true) throw new Error(`cannot be read: ${record}`);
  return {
    stanza: "contoso",
    tenant: TENANT,
    stream: "alerts",
    change: "updated",
    found: "sweep",
    key: "k",
    record: first,
    ...parts,
  };
}

function event(d: Delivery, style: EventStyle = STYLE): string {
  const out = new ByteWriter(1);
  writeSplunkEvent(out, d, style);
  return out.toString();
}

function line(d: Delivery, style: EventStyle = STYLE): string {
  const out = new ByteWriter(1);
  writeJsonLine(out, d, style);
  return out.toString();
}

const MSSP =
  '"mssp":{"tenant":"Contoso","tenant_id":"b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c","stream":"alerts","cloud":"gcc","change":"updated","found":"sweep","key":"k"}';

describe("one object is one event element", () => {
  test("with stanza, time to the millisecond, source, sourcetype and data", () => {
    expect(event(delivery(`{${HEAD}}`))).toBe(
      '<event stanza="defender_mssp://contoso" unbroken="1"><time>1795536358.006</time>' +
        "<source>defender_mssp:alerts:b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c</source><sourcetype>ms365:defender:incident:alerts</sourcetype>" +
        `<data>{${HEAD},${MSSP}}</data><done/></event>\n`,
    );
  });

  test("a stanza's and a customer's name cannot break out of the document", () => {
    const text = event(
      delivery(`{${HEAD}}`, { stanza: 'a"><x&\u0007', tenant: { ...TENANT, name: 'Müller & Söhne <"\\\u0001\ufffe' } }),
    );
    expect(text).toContain('<event stanza="defender_mssp://a&quot;&gt;&lt;x&amp;\ufffd" unbroken="1">');
    expect(text).toContain('"tenant":"Müller &amp; Söhne &lt;\\"\\\\\\u0001\\ufffe"');
  });

  test("a key with any text in it is a JSON string", () => {
    expect(event(delivery(`{${HEAD}}`, { key: 'a"<é' }))).toContain('"key":"a\\"&lt;é"}}');
  });
});

describe("in the layout of an event", () => {
  const short = `"n":1,"t":"${"x".repeat(254)}"`;
  const long = `"long":"${"x".repeat(255)}"`;
  test("scalars-first puts scalars of at most 256 bytes, mssp, longer strings, lists of scalars and the rest, each in the vendor's order", () => {
    const record = `{"o":{"a":1},${long},${HEAD},"l":[1,"a"],"evidence":[{}],${short},"z":null,"e":[],"y":"${"é".repeat(200)}"}`;
    const wanted = `{${HEAD},${short},"z":null,${MSSP},${long},"y":"${"é".repeat(200)}","l":[1,"a"],"e":[],"o":{"a":1},"evidence":[{}]}\n`;
    expect(line(delivery(record))).toBe(wanted);
  });

  test("vendor puts mssp first and the rest as received", () => {
    const record = `{"o":{"a":1},${long},${HEAD},"l":[]}`;
    expect(line(delivery(record), { ...STYLE, layout: "vendor" })).toBe(`{${MSSP},${record.slice(1)}\n`);
  });

  test("the record stands alone without the envelope", () => {
    const record = `{"o":{"a":1},${HEAD}}`;
    expect(line(delivery(record), { ...STYLE, envelope: false })).toBe(`{${HEAD},"o":{"a":1}}\n`);
    expect(line(delivery(record), { ...STYLE, envelope: false, layout: "vendor" })).toBe(`${record}\n`);
  });

  test.each(['"mssp":1', '"\\u006dssp":{"x":2}'])(
    "a vendor's %s is kept, and this program's member is then called mssp_",
    (member) => {
      for (const layout of ["vendor", "scalars-first"] as const) {
        const text = line(delivery(`{${HEAD},${member}}`), { ...STYLE, layout });
        expect(text).toContain(member);
        expect(text).toContain(`"mssp_":{"tenant":`);
      }
    },
  );

  test("duplicate names are kept", () => {
    expect(line(delivery(`{${HEAD},"a":1,"a":2}`))).toBe(`{${HEAD},"a":1,"a":2,${MSSP}}\n`);
  });

  test("a zone for Enterprise Security is in the member mssp", () => {
    expect(line(delivery(`{${HEAD}}`), { ...STYLE, cimEntityZone: "zone_1" })).toContain(
      '"key":"k","cim_entity_zone":"zone_1"}}',
    );
  });

  test("property: scalars-first only moves members, and both layouts are valid JSON with equal content", () => {
    const member = fc.tuple(fc.constantFrom("a", "b", "mssp", "é<&>"), fc.jsonValue({ maxDepth: 3 }));
    fc.assert(
      fc.property(
        fc.uniqueArray(member, { maxLength: 4, selector: ([name]) => name }),
        fc.boolean(),
        (members, envelope) => {
          const record = `{${HEAD}${members.map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`).join("")}}`;
          const d = delivery(record);
          const style = { ...STYLE, envelope };
          const moved = line(d, style).trimEnd();
          const asIs = line(d, { ...style, layout: "vendor" }).trimEnd();
          expect(Array.from(moved).toSorted()).toEqual(Array.from(asIs).toSorted());
          expect(JSON.parse(moved)).toEqual(JSON.parse(asIs));
          const xml = event(d, style);
          const data = /<data>(.*)<\/data>/su.exec(xml)![1]!;
          expect(data).not.toMatch(/[<>]|&(?!(amp|lt|gt);)/);
          expect(data.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")).toBe(moved);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("the sourcetype of", () => {
  const table: readonly [StreamName, "alert" | "incident" | "row", string | undefined, Partial<EventStyle>, string][] =
    [
      ["alerts", "alert", "microsoftDefenderForEndpoint", {}, "ms:defender:atp:alerts"],
      ["alerts", "alert", "MICROSOFTDEFENDERFORENDPOINT", {}, "ms:defender:atp:alerts"],
      ["alerts", "alert", "microsoftDefenderForOffice365", {}, "ms365:defender:incident:alerts"],
      ["alerts", "alert", undefined, {}, "ms365:defender:incident:alerts"],
      ["alerts", "alert", "microsoftDefenderForEndpoint", { alertsSourcetype: "x:y" }, "x:y"],
      ["alerts", "alert", "microsoftDefenderForEndpoint", { classicEntities: true }, "ms365:defender:incident:alerts"],
      ["incidents", "incident", undefined, { alertsSourcetype: "x:y" }, "ms365:defender:incident"],
      ["xdr-incidents", "incident", undefined, {}, "ms365:defender:incident"],
      ["xdr-incidents", "alert", "MicrosoftDefenderForEndpoint", {}, "ms365:defender:incident:alerts"],
      ["mde-alerts", "alert", undefined, {}, "ms:defender:atp:alerts"],
      ["siem-alerts", "alert", undefined, {}, "wdatp:alerts"],
      ["hunting", "row", undefined, {}, "m365:defender:incident:advanced_hunting"],
    ];
  test.each(table)("the stream %s for an %s of %s is as documented", (stream, kind, service, style, wanted) => {
    expect(sourcetypeOf(stream, kind, service, { ...STYLE, ...style })).toBe(wanted);
  });
});

describe("classic entities for content written for the older API", () => {
  const evidence = `"evidence":[{"@odata.type":"#microsoft.graph.security.processEvidence","verdict":"noThreatsFound","processCommandLine":"a && b","imageFile":{"fileName":"x.exe","sha1":null}},{"@odata.type":"#microsoft.graph.security.somethingNew"},{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"10.0.0.1","verdict":"malicious"}]`;
  const on = { ...STYLE, classicEntities: true };

  test("are one more member, and the evidence is not changed", () => {
    const text = line(delivery(`{${HEAD},${evidence}}`), on);
    expect(text).toContain(evidence);
    expect((JSON.parse(text) as { entities: unknown }).entities).toEqual([
      { entityType: "Process", verdict: "Clean", fileName: "x.exe", processCommandLine: "a && b" },
      { entityType: "Ip", verdict: "Malicious", ipAddress: "10.0.0.1" },
    ]);
    expect(event(delivery(`{${HEAD},${evidence}}`), on)).toContain('"processCommandLine":"a &amp;&amp; b"');
  });

  test.each([`{${HEAD},"evidence":null}`, `{${HEAD},${evidence},"entities":[]}`, `{${HEAD}}`])(
    "are not added to %s",
    (record) => {
      expect(line(delivery(record), on).match(/"entities"/g)?.length ?? 0).toBe(record.includes('"entities"') ? 1 : 0);
    },
  );
});

describe("a record that is too large to be held", () => {
  test("goes out with mssp first, then its own bytes in the vendor's order", () => {
    const record = `{${HEAD},"o":{"x":"a<b"},"mssp":1,"t":"&"}`;
    for (const step of [1, 3, 1000]) {
      const out = new ByteWriter(1);
      const heads: string[] = [];
      let isFirst = true;
      const huge = {
        begin: (head: { id: string }) => {
          heads.push(head.id);
          beginStreamedEvent(out, { ...delivery(`{${HEAD}}`), record: head as never }, STYLE, true);
          return true;
        },
        piece: (bytes: Uint8Array) => {
          writeStreamedPiece(out, bytes, isFirst, true);
          isFirst = false;
        },
        end: () => endStreamedEvent(out, true),
      };
      const bytes = new TextEncoder().encode(`{"value":[${record}]}`);
      const fields = { kind: "alert", id: "id", updated: "lastUpdateDateTime" } as const;
      const scanner = new AnswerScanner({ shape: "value-object", fields, recordMaxBytes: 70, huge });
      for (let at = 0; at < bytes.length; at += step) scanner.push(bytes.slice(at, at + step));
      scanner.end();
      expect(heads).toEqual(["a1"]);
      expect(out.toString()).toContain(`<time>1795536358.006</time>`);
      const data = `{${MSSP},${record.slice(1)}`.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      expect(out.toString()).toMatch(/<data>.*<\/data><done\/><\/event>\n$/su);
      expect(/<data>(.*)<\/data>/su.exec(out.toString())![1]).toBe(data);
    }
  });
});

describe("a health event", () => {
  const health: HealthEvent = {
    time: "2026-11-24T16:05:58.1Z",
    tenant: "A & B",
    tenant_id: TENANT.id,
    input: "contoso",
    streams: [],
    credential: null,
    credential_days_left: 12,
    version: "0.1.0",
  };

  test("that compares all customers with the list has a source of its own, so that it is nobody's health", () => {
    const roster = { failure: null } as RosterReport;
    const out = new ByteWriter();
    writeSplunkHealth(out, "contoso", { ...health, tenant: "", tenant_id: "", roster });
    expect(out.toString()).toContain("<source>defender_mssp:roster</source>");
    const hec = new ByteWriter();
    writeHecHealth(hec, { ...health, tenant: "", tenant_id: "", roster }, { host: "h", index: undefined });
    expect(JSON.parse(hec.toString())).toMatchObject({
      source: "defender_mssp:roster",
      sourcetype: "defender_mssp:health",
    });
  });

  test("belongs to the customer's stanza and has a source and sourcetype of its own", () => {
    const out = new ByteWriter();
    writeSplunkHealth(out, "contoso", health);
    expect(out.toString()).toBe(
      '<event stanza="defender_mssp://contoso" unbroken="1"><time>1795536358.100</time>' +
        `<source>defender_mssp:health:${TENANT.id}</source><sourcetype>defender_mssp:health</sourcetype>` +
        `<data>${JSON.stringify(health).replace("&", "&amp;")}</data><done/></event>\n`,
    );
    out.reset();
    writeHealthLine(out, health);
    expect(JSON.parse(out.toString())).toEqual(health);
  });
});
