import { describe, expect, test } from "@jest/globals";
import { XMLParser } from "fast-xml-parser";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { type EventStyle, writeJsonLine, writeSplunkEvent } from "../../src/format/splunk/splunk-event.ts";
import { expectGolden } from "./golden.ts";
import { deliveriesOf, readSample, SAMPLES } from "./samples.ts";

const STYLE: EventStyle = { layout: "scalars-first", envelope: true, alertsSourcetype: "split", classicEntities: false };

function written(sample: (typeof SAMPLES)[number], style: EventStyle, write: typeof writeSplunkEvent): string {
  const out = new ByteWriter(64);
  for (const delivery of deliveriesOf(sample)) write(out, delivery, style);
  return out.toString();
}

describe("the documentation samples become the golden Splunk events, byte for byte", () => {
  test.each(SAMPLES.map((sample) => [sample.file, sample] as const))("from %s", (file, sample) => {
    expectGolden(`events/${file}.splunk.xml`, written(sample, STYLE, writeSplunkEvent));
  });

  test("in the vendor's order, under one sourcetype, with a zone", () => {
    const style: EventStyle = { ...STYLE, layout: "vendor", alertsSourcetype: "my:alerts", cimEntityZone: "contoso" };
    expectGolden("events/graph-alerts_v2.vendor.splunk.xml", written(SAMPLES[0]!, style, writeSplunkEvent));
  });

  test("with the classic entities", () => {
    expectGolden("events/graph-alerts_v2.classic.splunk.xml", written(SAMPLES[0]!, { ...STYLE, classicEntities: true }, writeSplunkEvent));
  });
});

describe("an event's <data> holds Microsoft's record and nothing but our member", () => {
  test.each(SAMPLES.map((sample) => [sample.file, sample] as const))("for each record of %s", (file, sample) => {
    const document = `<stream>${written(sample, STYLE, writeSplunkEvent)}</stream>`;
    const parser = new XMLParser({ parseTagValue: false, trimValues: false, isArray: (name) => name === "event" });
    const { stream } = parser.parse(document) as { stream: { event: { data: string }[] } };
    const lines = written(sample, STYLE, writeJsonLine).trimEnd().split("\n");

    expect(stream.event.map((event) => event.data)).toEqual(lines);

    const answer = JSON.parse(readSample(file)) as { value?: object[]; results?: object[] } & object[];
    const originals = answer.value ?? answer.results ?? answer;
    const expected = originals.flatMap((original) => {
      const { alerts, ...incident } = original as { alerts?: object[] };
      return sample.options.nest === undefined ? [original] : [...(alerts ?? []), incident];
    });
    const delivered = lines.map((line) => {
      const { mssp, ...record } = JSON.parse(line) as { mssp: unknown };
      expect(mssp).toBeDefined();
      return record;
    });
    expect(delivered).toEqual(expected);
  });
});
