import { describe, expect, test } from "@jest/globals";
import { type EventStyle, writeHecEvent, writeHecHealth } from "../../src/format/splunk/hec-event.ts";
import { writeJsonLine } from "../../src/format/splunk/splunk-event.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../src/model/event.ts";
import { formatInstant } from "../../src/model/instant.ts";
import { CONTOSO, deliveriesOf, SAMPLES } from "./samples.ts";

const STYLE: EventStyle = { layout: "scalars-first", envelope: true, alertsSourcetype: "split", classicEntities: false };
const PLACE = { host: "collector", index: "defender" };

interface Hec {
  readonly time: number;
  readonly host: string;
  readonly index?: string;
  readonly source: string;
  readonly sourcetype: string;
  readonly event: string;
}

describe("a HEC event's string is what <data> holds, byte for byte", () => {
  test.each(SAMPLES.map((sample) => [sample.file, sample] as const))("for each record of %s", (_, sample) => {
    for (const delivery of deliveriesOf(sample)) {
      const [hec, data] = [new ByteWriter(8), new ByteWriter(8)];
      writeHecEvent(hec, delivery, STYLE, PLACE);
      writeJsonLine(data, delivery, STYLE);
      const line = hec.toString();
      expect(line.indexOf("\n")).toBe(line.length - 1);
      const { event, ...meta } = JSON.parse(line) as Hec;
      expect(event).toBe(data.toString().trimEnd());
      expect(meta).toEqual({
        time: expect.any(Number),
        host: "collector",
        index: "defender",
        source: `defender_mssp:${delivery.stream}:${CONTOSO.id}`,
        sourcetype: expect.any(String),
      });
      // All seven digits, which a number of JavaScript does not hold.
      const [, seconds = "", digits = ""] = /^\{"time":(\d+)\.(\d+),/.exec(line) ?? [];
      const exact = formatInstant(delivery.record.updated);
      expect(`${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${digits}Z`).toBe(exact);
    }
  });
});

describe("a HEC event", () => {
  test("names no index when none is configured: the token's own holds", () => {
    const [delivery] = deliveriesOf(SAMPLES[0]!);
    const out = new ByteWriter();
    writeHecEvent(out, delivery!, STYLE, { host: "h", index: undefined });
    expect(Object.keys(JSON.parse(out.toString()) as Hec)).toEqual(["time", "host", "source", "sourcetype", "event"]);
  });

  test("of each of several customers in turn has that customer's index and source, and its host", () => {
    const [one] = deliveriesOf(SAMPLES[0]!);
    const other = { ...one!, tenant: { ...one!.tenant, id: "5f1e0000-0000-4000-8000-000000000002" as typeof CONTOSO.id } };
    const metaOf = (delivery: Delivery, style: EventStyle, host: string, index: string | undefined) => {
      const out = new ByteWriter();
      writeHecEvent(out, delivery, style, { host, index });
      const { event: _, time: __, ...meta } = JSON.parse(out.toString()) as Hec;
      return meta;
    };
    const sourcetype = "one:type";
    const fixed = { ...STYLE, alertsSourcetype: sourcetype } as EventStyle;
    const stream = one!.stream;
    for (let round = 0; round < 2; round += 1) {
      expect(metaOf(one!, fixed, "a", "i")).toEqual({
        host: "a",
        index: "i",
        source: `defender_mssp:${stream}:${CONTOSO.id}`,
        sourcetype,
      });
      expect(metaOf(other, fixed, "a", "i").source).toBe(`defender_mssp:${stream}:${other.tenant.id}`);
      expect(metaOf(other, fixed, "a", undefined)).not.toHaveProperty("index");
      expect(metaOf(other, fixed, "a", "j").index).toBe("j");
      expect(metaOf(other, fixed, "b", "j").host).toBe("b");
      expect(metaOf({ ...other, stream: "incidents" }, fixed, "b", "j").source).toBe(
        `defender_mssp:incidents:${other.tenant.id}`,
      );
      expect(metaOf(other, { ...STYLE, alertsSourcetype: "two:type" } as EventStyle, "b", "j").sourcetype).toBe(
        "two:type",
      );
    }
  });

  test("of health has the source and sourcetype that the modular input's has", () => {
    const health: HealthEvent = {
      time: "2026-11-24T16:05:58.006Z",
      tenant: 'Contoso "North"',
      tenant_id: "",
      input: "contoso",
      streams: [],
      credential: null,
      credential_days_left: null,
      version: "1",
    };
    const out = new ByteWriter();
    writeHecHealth(out, health, PLACE);
    const line = JSON.parse(out.toString()) as Hec;
    expect(line).toMatchObject({ source: "defender_mssp:health:unknown", sourcetype: "defender_mssp:health" });
    expect(out.toString()).toContain('"time":1795536358.0060000,');
    expect(JSON.parse(line.event)).toEqual(health);
  });
});
