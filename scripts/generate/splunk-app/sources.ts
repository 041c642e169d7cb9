import type { StreamName } from "../../../src/model/stream.ts";

/**
 * The sources that the modular input writes (`defender_mssp:<stream>:<tenant GUID>`), each with the member an
 * event's time is taken from.
 */
export const SOURCES: Readonly<Record<StreamName | "health", { readonly timeMember: string }>> = {
  alerts: { timeMember: "lastUpdateDateTime" },
  incidents: { timeMember: "lastUpdateDateTime" },
  // An incident has lastUpdateTime, an alert taken out of it lastUpdatedTime.
  "xdr-incidents": { timeMember: "lastUpdated?Time" },
  "mde-alerts": { timeMember: "lastUpdateTime" },
  "siem-alerts": { timeMember: "LastProcessedTimeUtc" },
  hunting: { timeMember: "Timestamp" },
  health: { timeMember: "time" },
};

export type SourceKind = keyof typeof SOURCES;
export const SOURCE_KINDS = Object.keys(SOURCES) as SourceKind[];

/**
 * The props.conf stanza of a source. Only this add-on has these sources, so its stanzas do not collide with
 * another add-on's sourcetype stanzas, and source wins over sourcetype.
 */
export function sourceStanza(kind: SourceKind): string {
  return `source::defender_mssp:${kind}:*`;
}
