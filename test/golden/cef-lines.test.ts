import { describe, expect, test } from "@jest/globals";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { writeCef } from "../../src/format/arcsight/cef.ts";
import { CEF_PROFILES } from "../../src/format/arcsight/cef-mapping.ts";
import { writeFlatJson } from "../../src/format/arcsight/flat-json.ts";
import { FLAT_FIELDS, type FlatRecord } from "../../src/format/arcsight/flat-record.ts";
import { siemRows } from "../../src/format/arcsight/siem-rows.ts";
import { evidenceDeliveries } from "./evidence-samples.ts";
import { expectGolden } from "./golden.ts";
import { CONTOSO, deliveriesOf, readSample, SAMPLES } from "./samples.ts";

const ARRIVED = "2026-11-24T16:05:58.0000001Z";

describe("the documentation samples become the golden lines for ArcSight", () => {
  test.each(CEF_PROFILES)("as CEF of the profile %s", (profile) => {
    const out = new ByteWriter();
    for (const sample of SAMPLES) for (const delivery of deliveriesOf(sample)) writeCef(out, delivery, profile);
    expectGolden(`events/samples.${profile}.cef`, out.toString());
  });

  test("as CEF:1 of the profile xdr, with a line for each item", () => {
    const out = new ByteWriter();
    for (const sample of SAMPLES) for (const delivery of deliveriesOf(sample)) writeCef(out, delivery, "xdr", "each", 1);
    expectGolden("events/samples.xdr-1.cef", out.toString());
  });

  test("as flat JSON of texts and numbers only, each member always of one kind", () => {
    const out = new ByteWriter();
    for (const sample of SAMPLES) for (const delivery of deliveriesOf(sample)) writeFlatJson(out, delivery, "each");
    expectGolden("events/samples.flat.jsonl", out.toString());
    for (const line of out.toString().trimEnd().split("\n")) {
      for (const [name, value] of Object.entries(JSON.parse(line) as object)) {
        expect([name, typeof value]).toEqual([name, FLAT_FIELDS[name as keyof FlatRecord] === "text" ? "string" : "number"]);
      }
    }
  });

  test("as rows of the retired SIEM API", () => {
    const rows = SAMPLES.filter(({ stream }) => stream !== "hunting").flatMap((sample) => deliveriesOf(sample).flatMap((d) => siemRows(d, ARRIVED)));
    expectGolden("events/samples.siem.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  });
});

describe("one alert of each kind of evidence, and the line of its item, become the golden lines for ArcSight", () => {
  test.each(CEF_PROFILES)("as CEF of the profile %s", (profile) => {
    const out = new ByteWriter();
    for (const delivery of evidenceDeliveries()) writeCef(out, delivery, profile, "each");
    expectGolden(`events/evidence.${profile}.cef`, out.toString());
  });

  test("as flat JSON", () => {
    const out = new ByteWriter();
    for (const delivery of evidenceDeliveries()) writeFlatJson(out, delivery, "each");
    expectGolden("events/evidence.flat.jsonl", out.toString());
  });

  test("as rows of the retired SIEM API", () => {
    const rows = evidenceDeliveries().flatMap((delivery) => siemRows(delivery, ARRIVED));
    expectGolden("events/evidence.siem.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  });
});

describe("rows of the retired SIEM API", () => {
  const [original] = JSON.parse(readSample("siem-alerts")) as Record<string, unknown>[];

  test("have the members of Microsoft's sample, in its order and of its types, and then customer and version", () => {
    const [row] = siemRows(deliveriesOf(SAMPLES[0]!)[0]!, ARRIVED);
    const { TenantId, Tenant, Change, LastUpdateTime, ...theirs } = row!;
    expect(Object.keys(row!)).toEqual([...Object.keys(original!), "TenantId", "Tenant", "Change", "LastUpdateTime"]);
    expect([TenantId, Tenant, Change, LastUpdateTime]).toEqual([CONTOSO.id, CONTOSO.name, "new", 1_619_965_141_326]);
    for (const [name, value] of Object.entries(theirs)) {
      const flag = name === "RemediationIsSuccess" || name === "WasExecutingWhileDetected";
      expect([name, flag ? value === null || typeof value === "boolean" : typeof value === typeof original![name]]).toEqual([name, true]);
    }
  });

  test("are one per file, process, network or user evidence, the same in each version of the alert", () => {
    const [delivery] = deliveriesOf(SAMPLES[0]!);
    const rows = siemRows(delivery!, ARRIVED);
    expect(rows.map(({ FileName, CommandLine }) => [FileName, CommandLine])).toEqual([
      ["MsSense.exe", ""],
      ["MsSense.exe", '"MsSense.exe"'],
    ]);
    expect(rows[0]!.FullId).toBe(`${rows[0]!.AlertId}:${rows[0]!.IocUniqueId}`);
    const later = siemRows({ ...delivery!, change: "updated" }, "2026-11-25T00:00:00.0000000Z");
    expect(later.map(({ FullId }) => FullId)).toEqual(rows.map(({ FullId }) => FullId));
    expect(new Set(rows.map(({ FullId }) => FullId)).size).toBe(2);
    expect(rows[0]!.AlertTime).toBe("2021-04-27T12:19:27.7211305Z");
  });

  test("keep all members of a record of that API itself; only its time becomes that of its arrival here", () => {
    const sample = SAMPLES.find(({ stream }) => stream === "siem-alerts")!;
    expect(siemRows(deliveriesOf(sample)[0]!, ARRIVED)).toEqual([expect.objectContaining({ ...original, LastProcessedTimeUtc: ARRIVED, Tenant: CONTOSO.name })]);
  });
});
