/** The records of the public documentation samples, as the streams of today would read them. */
import { readFileSync } from "node:fs";
import { type AnswerOptions, scanAnswer } from "../../src/json/answer-scanner.ts";
import { type Delivery, versionKey } from "../../src/model/event.ts";
import { parseInstant } from "../../src/model/instant.ts";
import type { StreamName } from "../../src/model/stream.ts";
import type { Tenant, TenantId } from "../../src/model/tenant.ts";

export const CONTOSO: Tenant = { id: "b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c" as TenantId, name: "Contoso & Söhne", cloud: "commercial" };

const GRAPH_FIELDS = { updated: "lastUpdateDateTime", created: "createdDateTime", tenant: "tenantId", service: "serviceSource" } as const;

export interface Sample {
  readonly file: string;
  readonly stream: StreamName;
  readonly options: AnswerOptions;
}

const recordMaxBytes = 1 << 24;
const XDR: AnswerOptions = {
  shape: "value-object",
  fields: { kind: "incident", id: "incidentId", updated: "lastUpdateTime", created: "createdTime" },
  nest: { member: "alerts", fields: { kind: "alert", id: "alertId", updated: "lastUpdatedTime", created: "creationTime", service: "serviceSource" } },
  recordMaxBytes,
};
const MDE: AnswerOptions = {
  shape: "value-object",
  fields: { kind: "alert", id: "id", updated: "lastUpdateTime", created: "alertCreationTime", tenant: "aadTenantId", service: "detectionSource" },
  recordMaxBytes,
};
const INCIDENTS: AnswerOptions = { shape: "value-object", fields: { kind: "incident", id: "id", ...GRAPH_FIELDS }, recordMaxBytes };

export const SAMPLES: readonly Sample[] = [
  { file: "graph-alerts_v2", stream: "alerts", options: { shape: "value-object", fields: { kind: "alert", id: "id", ...GRAPH_FIELDS }, recordMaxBytes } },
  { file: "graph-incidents", stream: "incidents", options: INCIDENTS },
  { file: "graph-incidents-expand-alerts", stream: "incidents", options: INCIDENTS },
  { file: "xdr-incidents", stream: "xdr-incidents", options: XDR },
  { file: "mde-alerts", stream: "mde-alerts", options: MDE },
  { file: "mde-alerts-expand-evidence", stream: "mde-alerts", options: MDE },
  {
    file: "siem-alerts",
    stream: "siem-alerts",
    options: { shape: "bare-array", fields: { kind: "alert", id: "FullId", updated: "LastProcessedTimeUtc", created: "AlertTime" }, recordMaxBytes },
  },
  {
    file: "hunting",
    stream: "hunting",
    options: {
      shape: "results",
      fields: { kind: "row", id: { sha256: true }, updated: "Timestamp", updatedFallback: parseInstant("2026-11-24T16:00:00Z")! },
      recordMaxBytes,
    },
  },
];

export function readSample(file: string): string {
  return readFileSync(new URL(`../fixtures/microsoft-docs/${file}.response.json`, import.meta.url), "utf8");
}

/** The sample's records as deliveries of customer Contoso. */
export function deliveriesOf({ file, stream, options }: Sample): readonly Delivery[] {
  return scanAnswer(readSample(file), options).records.map((record) => {
    if (!record.readable) throw new Error(`${file} holds a record that cannot be read: ${record.reason}`);
    const key = versionKey(CONTOSO.id, stream, record.kind, record.id, record.updated);
    return { stanza: "contoso", tenant: CONTOSO, stream, change: "new", found: "poll", key, record };
  });
}
