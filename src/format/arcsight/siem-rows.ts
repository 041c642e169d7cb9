/**
 * Records in the form of the retired SIEM API ("pull detections"), so that a connector written for it goes on
 * working. Which member of today's alert stands for which of the old ones: Microsoft Defender docs, "Migrate
 * from the MDE SIEM API to the Microsoft Defender XDR alerts API".
 */
import { createHash } from "node:crypto";
import { memberValue, recordObject, textOf } from "../../json/record-object.ts";
import type { Delivery } from "../../model/event.ts";
import { formatInstant } from "../../model/instant.ts";
import { ownEntry } from "../../model/own-entry.ts";
import { isIpv4, isIpv6 } from "./addresses.ts";
import type { LegacyExtras } from "./cef-mapping.ts";
import { type FlatRecord, flatten } from "./flat-record.ts";

/**
 * One detection, members in the order of Microsoft's sample; what is not known is an empty string, as there,
 * and flags are null.
 */
export interface SiemRow {
  AlertTime: string;
  ComputerDnsName: string;
  AlertTitle: string;
  Category: string;
  Severity: string;
  AlertId: string;
  Actor: string;
  LinkToWDATP: string;
  IocName: string;
  IocValue: string;
  CreatorIocName: string;
  CreatorIocValue: string;
  Sha1: string;
  FileName: string;
  FilePath: string;
  IpAddress: string;
  Url: string;
  IoaDefinitionId: string;
  UserName: string;
  AlertPart: number;
  FullId: string;
  LastProcessedTimeUtc: string;
  ThreatCategory: string;
  ThreatFamily: string;
  ThreatName: string;
  RemediationAction: string;
  RemediationIsSuccess: boolean | null;
  Source: string;
  Md5: string;
  Sha256: string;
  WasExecutingWhileDetected: boolean | null;
  UserDomain: string;
  LogOnUsers: string;
  MachineDomain: string;
  MachineName: string;
  InternalIPv4List: string;
  InternalIPv6List: string;
  FileHash: string;
  DeviceID: string;
  MachineGroup: string;
  Description: string;
  DeviceCreatedMachineTags: string;
  CloudCreatedMachineTags: string;
  CommandLine: string;
  IncidentLinkToWDATP: string;
  ReportID: number;
  LinkToMTP: string;
  IncidentLinkToMTP: string;
  ExternalId: string;
  IocUniqueId: string;
}

/** Graph's remediationStatus as the old flag; what is not here says neither. */
const REMEDIATED: Readonly<Record<string, boolean>> = {
  remediated: true,
  prevented: true,
  blocked: true,
  active: false,
  declined: false,
  unremediated: false,
  partiallyremediated: false,
};

/**
 * Graph's detectionStatus: "detected" and "blocked" ran, "prevented" did not (Microsoft Graph docs,
 * detectionStatus).
 */
const WAS_EXECUTING: Readonly<Record<string, boolean>> = { detected: true, blocked: true, prevented: false };

const CAPITAL_SEVERITY: Readonly<Record<string, string>> = {
  informational: "Informational",
  low: "Low",
  medium: "Medium",
  high: "High",
};

/** The evidence the old API had rows for: file, process, network, user. */
const ROW_FIELDS = [
  "fileName",
  "sha1",
  "sha256",
  "commandLine",
  "processId",
  "ip",
  "ipv6",
  "url",
  "userName",
  "userPrincipalName",
] as const;

/** What tells one detection of an alert from another; nothing in it changes while the alert is worked on. */
const IDENTITY = [
  "deviceId",
  "userName",
  "userDomain",
  "userSid",
  "userPrincipalName",
  "fileName",
  "filePath",
  "sha1",
  "sha256",
  "commandLine",
  "processId",
  "url",
  "ip",
  "ipv6",
] as const satisfies readonly (keyof FlatRecord)[];

function uniqueId(flat: FlatRecord): string {
  const identity = JSON.stringify([flat.tenantId, flat.id, ...IDENTITY.map((name) => flat[name] ?? null)]);
  return createHash("sha256").update(identity).digest("base64");
}

function addresses(list: string | undefined, is: (text: string) => boolean): string {
  return (list ?? "").split(", ").filter(is).join(", ");
}

/**
 * One row of a flat view of the delivery. `id`: what tells it from the alert's other rows; a CEF line has no
 * place for it.
 */
export function siemRow(flat: FlatRecord, delivery: Delivery, arrivedAt: string, id: string): SiemRow {
  const { created, updated } = delivery.record;
  return {
    AlertTime: formatInstant(created ?? updated),
    ComputerDnsName: flat.deviceName ?? "",
    AlertTitle: flat.title ?? "",
    Category: flat.category?.split(",", 1)[0] ?? "",
    Severity: flat.severity === undefined ? "" : (ownEntry(CAPITAL_SEVERITY, flat.severity) ?? "UnSpecified"),
    AlertId: flat.id,
    Actor: flat.actor ?? "",
    LinkToWDATP: flat.alertUrl ?? (flat.kind === "incident" ? flat.incidentUrl : undefined) ?? "",
    IocName: "",
    IocValue: "",
    CreatorIocName: "",
    CreatorIocValue: "",
    Sha1: flat.sha1 ?? "",
    FileName: flat.fileName ?? "",
    FilePath: flat.filePath ?? "",
    IpAddress: flat.ip ?? flat.ipv6 ?? "",
    Url: flat.url ?? "",
    IoaDefinitionId: flat.detectorId ?? "",
    UserName: flat.userName ?? "",
    AlertPart: 0,
    FullId: `${flat.id}:${id}`,
    LastProcessedTimeUtc: arrivedAt,
    ThreatCategory: flat.mitreTechniques ?? "",
    ThreatFamily: flat.threatFamily ?? "",
    ThreatName: flat.threatName ?? "",
    RemediationAction: flat.remediationStatus ?? "",
    RemediationIsSuccess: ownEntry(REMEDIATED, flat.remediationStatus?.toLowerCase()) ?? null,
    Source: receivedSource(delivery) ?? flat.service ?? "",
    Md5: flat.md5 ?? "",
    Sha256: flat.sha256 ?? "",
    WasExecutingWhileDetected: ownEntry(WAS_EXECUTING, flat.detectionStatus?.toLowerCase()) ?? null,
    UserDomain: flat.userDomain ?? "",
    LogOnUsers: flat.loggedOnUsers ?? "",
    MachineDomain: flat.deviceDomain ?? "",
    MachineName: flat.deviceHost ?? "",
    InternalIPv4List: addresses(flat.deviceAddresses, isIpv4),
    InternalIPv6List: addresses(flat.deviceAddresses, isIpv6),
    FileHash: flat.sha1 ?? flat.sha256 ?? "",
    DeviceID: flat.deviceId ?? "",
    MachineGroup: flat.deviceGroup ?? "",
    Description: flat.description ?? "",
    DeviceCreatedMachineTags: flat.deviceTags ?? "",
    CloudCreatedMachineTags: "",
    CommandLine: flat.commandLine ?? "",
    IncidentLinkToWDATP: flat.incidentUrl ?? "",
    ReportID: 0,
    LinkToMTP: flat.alertUrl ?? "",
    IncidentLinkToMTP: flat.incidentUrl ?? "",
    ExternalId: "",
    IocUniqueId: id,
  };
}

/** As the API spells it: content for the retired API compares with the older APIs' spelling. */
function receivedSource({ record }: Delivery): string | undefined {
  return record.kind === "alert" ? textOf(memberValue(record.body, "detectionSource")) : undefined;
}

/** After the retired API's members, which named neither: whose row it is and of which version. */
export type RowAdditions = Pick<LegacyExtras, "TenantId" | "Tenant" | "Change" | "LastUpdateTime">;
export interface CustomerRow extends SiemRow, RowAdditions {}

export function customerOf(flat: FlatRecord): RowAdditions {
  return {
    TenantId: flat.tenantId,
    Tenant: flat.tenantName,
    Change: flat.change,
    LastUpdateTime: flat.lastUpdateTime,
  };
}

/**
 * A delivery as rows; `arrivedAt` is our time of arrival in ISO form, what a poller of this API moves by. One
 * per file, process, network or user evidence, one for an alert that has none of these. Equal evidence gives
 * one row: FullId is unique within an alert and the same in each of its versions. A record of the retired API
 * itself comes back with its own members; only its time of arrival is set here.
 */
export function siemRows(delivery: Delivery, arrivedAt: string): readonly CustomerRow[] {
  const { summary, perItem } = flatten(delivery);
  const customer = customerOf(summary);
  if (delivery.stream === "siem-alerts") return [{ ...originalRow(summary, delivery, arrivedAt), ...customer }];
  const items = perItem().filter(
    (item) => item.evidenceKind !== "device" && ROW_FIELDS.some((name) => item[name] !== undefined),
  );
  const rows = new Map(
    (items.length > 0 ? items : [summary])
      .map((flat) => ({ ...siemRow(flat, delivery, arrivedAt, uniqueId(flat)), ...customer }))
      .map((row) => [row.FullId, row] as const),
  );
  return Array.from(rows.values());
}

/** The one row that stands for the whole record: what a CEF line of profile `legacy` is made of. */
export function siemSummary(delivery: Delivery, flat: FlatRecord): SiemRow {
  return delivery.stream === "siem-alerts" ? originalRow(flat, delivery, "") : siemRow(flat, delivery, "", "");
}

function originalRow(flat: FlatRecord, delivery: Delivery, arrivedAt: string): SiemRow {
  return {
    ...siemRow(flat, delivery, arrivedAt, ""),
    ...recordObject(delivery.record.body),
    LastProcessedTimeUtc: arrivedAt,
  };
}
