import type { Version } from "../records.ts";
import type { StreamFacts } from "../streams.ts";
import type { Customer } from "../world.ts";

/**
 * Enum members that Graph shows only to clients that send `Prefer: include-unknown-enum-members`; to others
 * they are `unknownFutureValue`. Source: Microsoft Graph docs, resources security-alert and security-incident
 * (the members after `unknownFutureValue` in each list).
 */
const NEWER_MEMBERS: Readonly<Record<string, ReadonlySet<string>>> = {
  serviceSource: new Set(
    [
      "microsoftDefenderForCloud",
      "microsoftSentinel",
      "microsoftInsiderRiskManagement",
      "microsoftThreatIntelligence",
      "microsoftSecurityForAI",
      "microsoftDefender",
      "microsoftEntraIdProtection",
    ].map((one) => one.toLowerCase()),
  ),
  detectionSource: new Set(
    [
      "microsoftDefenderForCloud",
      "azureAdIdentityProtection",
      "microsoftSentinel",
      "scheduledAlerts",
      "nrtAlerts",
      "builtInMl",
      "microsoftDefenderThreatIntelligenceAnalytics",
      "microsoftThreatIntelligence",
      "microsoftDefenderForServers",
      "microsoftDefenderForContainers",
      "microsoftDefenderForStorage",
      "microsoftDefenderForResourceManager",
      "microsoftDefenderForKeyVault",
      "microsoftSecurityCopilot",
      "securityCopilot",
    ].map((one) => one.toLowerCase()),
  ),
  status: new Set(["awaitingaction"]),
};

const MASKABLE = /"(serviceSource|detectionSource|status)":"([^"\\]*)"/g;

/** A record's text without its newer enum members. */
function masked(record: string): string {
  return record.replaceAll(MASKABLE, (whole, name: string, value: string) =>
    NEWER_MEMBERS[name]?.has(value.toLowerCase()) ? `"${name}":"unknownFutureValue"` : whole,
  );
}

/** How a Graph record goes out: masked or not, with or without an incident's `alerts`. */
export function graphText(
  customer: Customer,
  facts: StreamFacts,
  how: { unmasked: boolean; expand: boolean },
): (version: Version) => string {
  const dress = how.unmasked ? (text: string) => text : masked;
  if (facts.name !== "incidents") return (version) => dress(version.text());
  if (!how.expand) return (version) => dress(withoutAlerts(version.text()));
  return (version) => dress(withAlerts(customer, version));
}

/** `alerts` is a navigation property: it is there only when it was asked for. */
function withoutAlerts(record: string): string {
  if (!record.includes('"alerts":')) return record;
  const row = JSON.parse(record) as Record<string, unknown>;
  if (!("alerts" in row)) return record;
  delete row["alerts"];
  return JSON.stringify(row);
}

function withAlerts(customer: Customer, version: Version): string {
  const record = version.text();
  if (record.includes('"alerts":') && "alerts" in version.row()) return record;
  const alerts = customer.tables.alerts.visible().filter((alert) => alert.row()["incidentId"] === version.id);
  return `${record.slice(0, -1)},"alerts":[${alerts.map((alert) => alert.text()).join(",")}]}`;
}

/** How many alerts an incident has: its own, else those of the alerts list that name it. */
export function alertCount(customer: Customer, incident: Version): number {
  const own = incident.row()["alerts"];
  if (Array.isArray(own)) return own.length;
  return customer.tables.alerts.visible().filter((alert) => alert.row()["incidentId"] === incident.id).length;
}

/** A Defender for Endpoint alert: `evidence` is there, but empty unless it was asked for. */
export function mdeText(expand: boolean): (version: Version) => string {
  if (expand) return (version) => version.text();
  return (version) => {
    const record = version.text();
    const row = JSON.parse(record) as Record<string, unknown>;
    return Array.isArray(row["evidence"]) && row["evidence"].length > 0
      ? JSON.stringify({ ...row, evidence: [] })
      : record;
  };
}

export const plainText = (version: Version): string => version.text();
