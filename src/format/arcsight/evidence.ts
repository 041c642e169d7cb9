/**
 * Evidence of an alert in one flat form, whichever API it came from: Graph's typed evidence, the XDR API's
 * entities and devices, the Endpoint API's evidence. Sources: Microsoft Graph docs (alertEvidence and its
 * kinds); Defender XDR docs "List incidents API"; Defender for Endpoint docs "List alerts API".
 */

import { isObject, type JsonObject, objectsOf, textOf } from "../../json/record-object.ts";
import { type ClassicMember, classicMembers, classicMemberValue, evidenceKind } from "../splunk/classic-entities.ts";

/** Everything is optional; numbers are numbers, all else is text. */
export interface EvidenceFacts {
  evidenceKind?: string;
  verdict?: string;
  remediationStatus?: string;
  detectionStatus?: string;
  deviceName?: string;
  deviceHost?: string;
  deviceDomain?: string;
  deviceId?: string;
  deviceIp?: string;
  deviceIpv6?: string;
  /** All of its addresses, comma separated. */
  deviceAddresses?: string;
  deviceGroup?: string;
  deviceTags?: string;
  loggedOnUsers?: string;
  userName?: string;
  userDomain?: string;
  userSid?: string;
  userPrincipalName?: string;
  fileName?: string;
  filePath?: string;
  sha1?: string;
  sha256?: string;
  md5?: string;
  fileSize?: number;
  commandLine?: string;
  processId?: number;
  parentProcessName?: string;
  url?: string;
  ip?: string;
  ipv6?: string;
  sender?: string;
  recipient?: string;
  subject?: string;
  registryKey?: string;
  application?: string;
}

type Facts = { -readonly [K in keyof EvidenceFacts]: EvidenceFacts[K] };

function put<K extends keyof Facts>(facts: Facts, name: K, value: Facts[K] | undefined): void {
  if (value !== undefined && facts[name] === undefined) facts[name] = value;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;
export function isIpv4(text: string): boolean {
  return IPV4.test(text);
}

const HEX_GROUP = /^[0-9a-f]{1,4}$/i;

/**
 * RFC 4291, section 2.2: eight groups, one run of zeros perhaps as `::`, the last two groups perhaps as an
 * IPv4 address.
 */
export function isIpv6(text: string): boolean {
  if (!text.includes(":")) return false;
  const halves = text.split("::");
  if (text.length > 45 || halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1);
  const endsInIpv4 = last !== undefined && isIpv4(last) && !text.endsWith("::");
  const count = groups.length + (endsInIpv4 ? 1 : 0);
  const hex = endsInIpv4 ? groups.slice(0, -1) : groups;
  return hex.every((group) => HEX_GROUP.test(group)) && (halves.length === 2 ? count <= 7 : count === 8);
}

/** `host.domain` apart; an address or a bare name has no domain. */
export function splitDnsName(name: string): { readonly host: string; readonly domain?: string } {
  const dot = name.indexOf(".");
  if (dot <= 0 || dot === name.length - 1 || isIpv4(name)) return { host: name };
  return { host: name.slice(0, dot), domain: name.slice(dot + 1) };
}

function putDevice(facts: Facts, name: string | undefined, device: JsonObject): void {
  if (name !== undefined) {
    const { host, domain } = splitDnsName(name);
    put(facts, "deviceName", name);
    put(facts, "deviceHost", host);
    put(facts, "deviceDomain", domain);
  }
  const addresses = [
    device["lastIpAddress"],
    ...(Array.isArray(device["ipInterfaces"]) ? (device["ipInterfaces"] as unknown[]) : []),
  ]
    .map(textOf)
    .filter((address) => address !== undefined);
  put(facts, "deviceIp", addresses.find(isIpv4));
  put(facts, "deviceIpv6", addresses.find(isIpv6));
  if (addresses.length > 0) put(facts, "deviceAddresses", Array.from(new Set(addresses)).join(", "));
  put(facts, "deviceGroup", textOf(device["rbacGroupName"]));
  const tags = Array.isArray(device["tags"]) ? device["tags"].map(textOf).filter((tag) => tag !== undefined) : [];
  if (tags.length > 0) put(facts, "deviceTags", tags.join(", "));
  const users = objectsOf(device["loggedOnUsers"]).flatMap((user) => {
    const account = textOf(user["accountName"]);
    const domain = textOf(user["domainName"]);
    return account === undefined ? [] : [domain === undefined ? account : `${domain}\\${account}`];
  });
  if (users.length > 0) put(facts, "loggedOnUsers", users.join("; "));
}

/**
 * A device of Graph's evidence (`mdeDeviceId`) or of an XDR alert's `devices` (`mdatpDeviceId`, in the docs'
 * table `DeviceId`).
 */
export function deviceFacts(device: JsonObject): EvidenceFacts {
  const facts: Facts = {};
  put(
    facts,
    "deviceId",
    textOf(device["mdeDeviceId"]) ?? textOf(device["mdatpDeviceId"]) ?? textOf(device["DeviceId"]),
  );
  putDevice(facts, textOf(device["deviceDnsName"]), device);
  return facts;
}

/**
 * Members of a flat entity (XDR `entities`, Endpoint `evidence`, or Graph evidence in those words) and what
 * they are called here.
 */
const FROM_ENTITY = [
  ["verdict", "verdict"],
  ["remediationStatus", "remediationStatus"],
  ["detectionStatus", "detectionStatus"],
  ["deviceId", "deviceId"],
  ["userName", "accountName"],
  ["userDomain", "domainName"],
  ["userSid", "userSid"],
  ["userPrincipalName", "userPrincipalName"],
  ["userPrincipalName", "mailboxAddress"],
  ["userName", "mailboxDisplayName"],
  ["fileName", "fileName"],
  ["filePath", "filePath"],
  ["sha1", "sha1"],
  ["sha256", "sha256"],
  ["commandLine", "processCommandLine"],
  ["parentProcessName", "parentProcessFileName"],
  ["url", "url"],
  ["sender", "sender"],
  ["recipient", "recipient"],
  ["subject", "subject"],
  ["application", "applicationName"],
] as const satisfies readonly (readonly [keyof EvidenceFacts, string])[];

/** One entity in the flat form of the older APIs. */
export function entityFacts(entity: JsonObject): EvidenceFacts {
  const facts: Facts = {};
  const kind = textOf(entity["entityType"]);
  if (kind !== undefined) facts.evidenceKind = kind.toLowerCase();
  for (const [name, member] of FROM_ENTITY) put(facts, name, textOf(entity[member]));
  putProcessId(facts, entity);
  putAddress(facts, entity);
  putRegistryKey(facts, entity);
  return facts;
}

function putProcessId(facts: Facts, entity: JsonObject): void {
  put(facts, "processId", numberOf(entity["processId"]));
}

function putAddress(facts: Facts, entity: JsonObject): void {
  const address = textOf(entity["ipAddress"]);
  if (address === undefined) return;
  if (isIpv4(address)) put(facts, "ip", address);
  else if (isIpv6(address)) put(facts, "ipv6", address);
}

function putRegistryKey(facts: Facts, entity: JsonObject): void {
  const key = textOf(entity["registryKey"]);
  if (key === undefined) return;
  const hive = textOf(entity["registryHive"]);
  put(facts, "registryKey", hive === undefined ? key : `${hive}\\${key}`);
}

/** How facts of one kind of Graph evidence are found, without making an entity of it first. */
interface GraphKind {
  readonly evidenceKind: string;
  /** For what is not just text. */
  readonly putMore: ((facts: Facts, item: JsonObject) => void) | undefined;
  readonly facts: readonly (readonly [keyof EvidenceFacts & (typeof FROM_ENTITY)[number][0], ClassicMember])[];
}

const PUT_MORE: Readonly<Record<string, (facts: Facts, item: JsonObject) => void>> = {
  Process: putProcessId,
  Ip: putAddress,
  Registry: putRegistryKey,
};

const GRAPH_KINDS = new Map<string, GraphKind>();
/** Kinds come from outside: more than so many are not remembered. */
const GRAPH_KINDS_MAX = 200;

function graphKind(kind: string): GraphKind {
  const before = GRAPH_KINDS.get(kind);
  if (before !== undefined) return before;
  const classic = classicMembers(kind);
  const found: GraphKind = {
    evidenceKind: (classic?.entityType ?? kind.replace(/Evidence$/, "")).toLowerCase(),
    putMore: PUT_MORE[classic?.entityType ?? ""],
    // Statuses are taken in Graph's own words.
    facts: FROM_ENTITY.filter(([name]) => !STATUSES.includes(name)).flatMap(([name, member]) =>
      (classic?.members ?? []).filter((one) => one.name === member).map((one) => [name, one] as const),
    ),
  };
  if (GRAPH_KINDS.size < GRAPH_KINDS_MAX) GRAPH_KINDS.set(kind, found);
  return found;
}

/** One item of Graph's evidence; a kind that is not known here gives its kind and verdict only. */
export function graphEvidenceFacts(item: JsonObject): EvidenceFacts {
  const kind = evidenceKind(item);
  const facts: Facts = {};
  for (const status of STATUSES) put(facts, status, textOf(item[status]));
  if (kind === "deviceEvidence") return { evidenceKind: "device", ...facts, ...deviceFacts(item) };
  const { evidenceKind: named, facts: places, putMore } = graphKind(kind);
  for (const [name, member] of places) put(facts, name, textOf(classicMemberValue(item, member)));
  putMore?.(facts, item);
  facts.evidenceKind = named;
  for (const file of [item["fileDetails"], item["imageFile"]]) {
    if (!isObject(file)) continue;
    put(facts, "md5", textOf(file["md5"]));
    put(facts, "fileSize", numberOf(file["fileSize"]));
  }
  return facts;
}

const STATUSES: readonly (keyof EvidenceFacts)[] = ["verdict", "remediationStatus", "detectionStatus"];
