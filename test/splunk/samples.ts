import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { XMLParser } from "fast-xml-parser";
import type { ListStreamName } from "../../src/defender/streams/registry.ts";
import { STREAMS } from "../../src/defender/streams/registry.ts";
import type { EventStyle } from "../../src/format/splunk/splunk-event.ts";
import { writeSplunkEvent } from "../../src/format/splunk/splunk-event.ts";
import { AnswerScanner } from "../../src/json/answer-scanner.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { versionKey } from "../../src/model/event.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import type { IndexedEvent } from "./search-time.ts";

const FIXTURES = path.resolve(import.meta.dirname, "../fixtures");

export const CUSTOMERS = {
  contoso: "11111111-aaaa-4aaa-8aaa-111111111111",
  fabrikam: "22222222-bbbb-4bbb-8bbb-222222222222",
  tailspin: "33333333-cccc-4ccc-8ccc-333333333333",
} as const;
export type Customer = keyof typeof CUSTOMERS;

const PLAIN_STYLE: EventStyle = {
  layout: "scalars-first",
  envelope: true,
  alertsSourcetype: "split",
  classicEntities: false,
};

/**
 * Records of a stream as Microsoft sends them, turned into the events that the modular input writes: by its
 * own scanner and its own writer.
 */
export function eventsOf(
  stream: ListStreamName,
  customer: Customer,
  records: readonly unknown[],
  style: Partial<EventStyle> = {},
): IndexedEvent[] {
  const contract = STREAMS[stream];
  const scanner = new AnswerScanner({
    shape: contract.shape,
    fields: contract.fields,
    recordMaxBytes: 1 << 24,
    ...(contract.nest ? { nest: contract.nest } : {}),
  });
  const page = JSON.stringify(contract.shape === "bare-array" ? records : { value: records });
  const tenant = { id: CUSTOMERS[customer] as TenantId, name: customer, cloud: "commercial" as const };
  return scanner.push(Buffer.from(page)).map((record) => {
    if (!record.readable) throw new Error(`a sample of ${stream} is not readable: ${record.reason}`);
    const out = new ByteWriter();
    const key = versionKey(tenant.id, stream, record.kind, record.id, record.updated);
    writeSplunkEvent(
      out,
      { stanza: customer, tenant, stream, change: "new", found: "poll", key, record },
      { ...PLAIN_STYLE, ...style },
    );
    return indexed(out.toString());
  });
}

const PARSER = new XMLParser({
  ignoreAttributes: false,
  parseTagValue: false,
  trimValues: false,
  processEntities: true,
});

/** An `<event>` as splunkd files it. */
export function indexed(xml: string): IndexedEvent {
  const { event } = PARSER.parse(xml) as { event: { time: string; source: string; sourcetype: string; data: string } };
  return { raw: event.data, source: event.source, sourcetype: event.sourcetype, time: Number(event.time) };
}

/** Every sample there is: the demo's customers and Microsoft's documentation. */
export function allSamples(
  style: Partial<EventStyle> = {},
): { readonly from: string; readonly stream: ListStreamName; readonly event: IndexedEvent }[] {
  const streams = Object.keys(STREAMS) as ListStreamName[];
  const customers = (Object.keys(CUSTOMERS) as Customer[]).flatMap((customer) =>
    streams.flatMap((stream) => {
      const lines = readFileSync(path.join(FIXTURES, "customers", customer, `${stream}.ndjson`), "utf8")
        .split("\n")
        .filter((line) => line !== "");
      return eventsOf(
        stream,
        customer,
        lines.map((line) => JSON.parse(line) as unknown),
        style,
      ).map((event) => ({ from: `customers/${customer}/${stream}`, stream, event }));
    }),
  );
  const documents = readdirSync(path.join(FIXTURES, "microsoft-docs")).flatMap((file) => {
    const stream = DOCUMENTS.find(([pattern]) => pattern.test(file))?.[1];
    return stream === undefined
      ? []
      : eventsOf(stream, "contoso", recordsIn(file), style).map((event) => ({
          from: `microsoft-docs/${file}`,
          stream,
          event,
        }));
  });
  return [...customers, ...documents];
}

const DOCUMENTS: readonly (readonly [RegExp, ListStreamName])[] = [
  [/^graph-alerts_v2/, "alerts"],
  [/^graph-incidents/, "incidents"],
  [/^mde-alerts/, "mde-alerts"],
  [/^xdr-incidents/, "xdr-incidents"],
  [/^siem-alerts\./, "siem-alerts"],
];

export function recordsIn(file: string): readonly unknown[] {
  const answer = JSON.parse(readFileSync(path.join(FIXTURES, "microsoft-docs", file), "utf8")) as
    | { value?: unknown[] }
    | unknown[];
  return Array.isArray(answer) ? answer : (answer.value ?? []);
}
