/**
 * Evidence of an alert in one flat form, whichever API it came from: Graph's typed evidence, the XDR API's
 * entities and devices, the Endpoint API's evidence. Sources: Microsoft Graph docs (alertEvidence and its
 * kinds); Defender XDR docs "List incidents API"; Defender for Endpoint docs "List alerts API".
 */

import { digitsOf, type WholeNumber, wholeNumber } from "../../json/exact-numbers.ts";
import { isObject, type JsonObject, objectsOf, textOf, textsOf } from "../../json/record-object.ts";
import { evidenceKind } from "../splunk/classic-entities.ts";
import { addressesOfHost, isIpv4, isIpv6, macAddress, splitDnsName } from "./addresses.ts";
import {
  DETAILS_OF_ACCOUNT,
  DETAILS_OF_ALL,
  DETAILS_OF_DEVICE,
  DETAILS_OF_FILE,
  EVIDENCE_RULES,
  type KindRules,
} from "./evidence-rules.ts";
import { spelled } from "./spelling.ts";

/**
 * Everything is optional; numbers are numbers, all else is text. A class, so that each has all members from
 * the beginning: an object that grows by so many is kept as a dictionary, which is several times slower.
 */
export class EvidenceFacts {
  evidenceKind?: string;
  verdict?: string;
  remediationStatus?: string;
  detectionStatus?: string;
  /** `roles` and `detailedRoles` of the item, comma separated. */
  roles?: string;
  deviceName?: string;
  deviceHost?: string;
  deviceDomain?: string;
  deviceNtDomain?: string;
  deviceId?: string;
  deviceIp?: string;
  deviceIpv6?: string;
  /** The address that others see outside of the device's network. */
  deviceExternalIp?: string;
  deviceMac?: string;
  /** All of its addresses, comma separated. */
  deviceAddresses?: string;
  deviceGroup?: string;
  deviceTags?: string;
  loggedOnUsers?: string;
  userName?: string;
  userDomain?: string;
  userSid?: string;
  userPrincipalName?: string;
  /** The id of the account where it lives: Entra, a service principal, GitHub. */
  userId?: string;
  fileName?: string;
  filePath?: string;
  /** The path with the file's name. */
  fullFilePath?: string;
  sha1?: string;
  sha256?: string;
  md5?: string;
  fileSize?: WholeNumber;
  processName?: string;
  commandLine?: string;
  processId?: WholeNumber;
  parentProcessName?: string;
  parentProcessId?: WholeNumber;
  url?: string;
  ip?: string;
  ipv6?: string;
  protocol?: string;
  userAgent?: string;
  sender?: string;
  recipient?: string;
  subject?: string;
  deliveryAction?: string;
  messageId?: string;
  registryKey?: string;
  application?: string;
  applicationId?: string;
  threatName?: string;
  /** Of what is neither device, account, file nor address: a cloud resource, a container, a group. */
  resourceId?: string;
  resourceName?: string;
  resourceType?: string;
}

type NamesOf<Value> = { [K in keyof EvidenceFacts]-?: Value extends EvidenceFacts[K] ? K : never }[keyof EvidenceFacts];
export type TextFact = NamesOf<string>;
export type NumberFact = NamesOf<WholeNumber>;

/** Two addresses that belong together: the item says which end is which. */
export interface Connection {
  readonly near: { readonly ip?: string; readonly ipv6?: string; readonly port?: number };
  readonly far: { readonly ip?: string; readonly ipv6?: string; readonly port?: number };
  readonly farByRole: boolean;
}

/** One item's facts, with what only its direction needs. */
export class ItemFacts extends EvidenceFacts {
  connection?: Connection;
  /** What has no member of its own, as `name: value`. */
  details?: () => readonly string[];
}

function put<K extends keyof ItemFacts>(facts: ItemFacts, name: K, value: ItemFacts[K] | undefined): void {
  if (value !== undefined && facts[name] === undefined) facts[name] = value;
}

/** Lists of any length come from outside; what is longer is of no use in one field. */
const LIST_MAX = 4000;

/** As many of the texts as fit, each once; `…` stands for the others. */
export function listed(texts: readonly string[], separator: string, max = LIST_MAX): string | undefined {
  const [only] = texts;
  if (texts.length === 1 && only!.length <= max) return only;
  let list = "";
  for (const text of new Set(texts)) {
    const longer = list === "" ? text : `${list}${separator}${text}`;
    if (longer.length > max) return list === "" ? `${text.slice(0, max - 1)}…` : `${list}${separator}…`;
    list = longer;
  }
  return list === "" ? undefined : list;
}

function putDevice(facts: ItemFacts, device: JsonObject): void {
  const hostName = textOf(device["hostName"]);
  const dnsDomain = textOf(device["dnsDomain"]);
  const name =
    textOf(device["deviceDnsName"]) ??
    (hostName === undefined || dnsDomain === undefined || hostName.includes(".")
      ? hostName
      : `${hostName}.${dnsDomain}`);
  if (name !== undefined) putDeviceName(facts, name);
  put(facts, "deviceDomain", dnsDomain);
  put(facts, "deviceNtDomain", textOf(device["ntDomain"]));
  const last = textOf(device["lastIpAddress"]);
  const addresses = [...(last === undefined ? [] : [last]), ...textsOf(device["ipInterfaces"])];
  const { ipv4, ipv6 } = addressesOfHost(addresses);
  put(facts, "deviceIp", ipv4);
  put(facts, "deviceIpv6", ipv6);
  put(facts, "deviceExternalIp", textOf(device["lastExternalIpAddress"]));
  if (addresses.length > 0) put(facts, "deviceAddresses", listed(addresses, ", "));
  put(facts, "deviceGroup", textOf(device["rbacGroupName"]));
  put(facts, "deviceTags", listed(textsOf(device["tags"]), ", "));
  const users = objectsOf(device["loggedOnUsers"]).flatMap((user) => {
    const account = textOf(user["accountName"]);
    return account === undefined ? [] : [accountLabel(account, textOf(user["domainName"]))];
  });
  put(facts, "loggedOnUsers", listed(users, "; "));
}

export function putDeviceName(facts: EvidenceFacts, name: string): void {
  const { host, domain } = splitDnsName(name);
  put(facts, "deviceName", name);
  put(facts, "deviceHost", host);
  put(facts, "deviceDomain", domain);
}

/** An account as people write it. */
export function accountLabel(name: string, domain: string | undefined): string {
  return domain === undefined ? name : `${domain}\\${name}`;
}

/**
 * A device of Graph's evidence (`mdeDeviceId`) or of an XDR alert's `devices` (`mdatpDeviceId`, in the docs'
 * table `DeviceId`).
 */
export function deviceFacts(device: JsonObject): ItemFacts {
  const facts = new ItemFacts();
  put(
    facts,
    "deviceId",
    textOf(device["mdeDeviceId"]) ?? textOf(device["mdatpDeviceId"]) ?? textOf(device["DeviceId"]),
  );
  putDevice(facts, device);
  return facts;
}

/** Written out: one function for all members makes each of them slower. */
function putAccount(facts: ItemFacts, account: JsonObject): void {
  const name = textOf(account["accountName"]);
  if (name !== undefined) facts.userName ??= name;
  const domain = textOf(account["domainName"]);
  if (domain !== undefined) facts.userDomain ??= domain;
  const sid = textOf(account["userSid"]);
  if (sid !== undefined) facts.userSid ??= sid;
  const principal = textOf(account["userPrincipalName"]);
  if (principal !== undefined) facts.userPrincipalName ??= principal;
  const id = textOf(account["azureAdUserId"]);
  if (id !== undefined) facts.userId ??= id;
}

function putFile(facts: ItemFacts, file: JsonObject): void {
  const name = textOf(file["fileName"]);
  if (name !== undefined) facts.fileName ??= name;
  const path = textOf(file["filePath"]);
  if (path !== undefined) facts.filePath ??= path;
  const sha1 = textOf(file["sha1"]);
  if (sha1 !== undefined) facts.sha1 ??= sha1;
  const sha256 = textOf(file["sha256"]);
  if (sha256 !== undefined) facts.sha256 ??= sha256;
  const md5 = textOf(file["md5"]);
  if (md5 !== undefined) facts.md5 ??= md5;
  const size = wholeNumber(file["fileSize"]);
  if (size !== undefined) facts.fileSize ??= size;
}

function putHash(facts: ItemFacts, { algorithm, value }: JsonObject): void {
  const name = textOf(algorithm)?.toLowerCase();
  if (name === "sha1" || name === "sha256" || name === "md5") put(facts, name, textOf(value));
}

/** What is not an address is left out. */
export function putAddress(to: Pick<EvidenceFacts, "ip" | "ipv6">, address: string | undefined): void {
  if (address === undefined) return;
  if (isIpv4(address)) to.ip ??= address;
  else if (isIpv6(address)) to.ipv6 ??= address;
}

/** What several members give together. */
export function putComposed(facts: EvidenceFacts): void {
  const { fileName, filePath } = facts;
  if (filePath !== undefined) put(facts, "fullFilePath", fullPath(filePath, fileName));
}

/** Microsoft gives the folder and the name apart, and sometimes the name in both. */
function fullPath(path: string, name: string | undefined): string {
  if (name === undefined || path.toLowerCase().endsWith(name.toLowerCase())) return path;
  const separator = path.includes("/") && !path.includes("\\") ? "/" : "\\";
  return path.endsWith("/") || path.endsWith("\\") ? path + name : path + separator + name;
}

/**
 * Members of a flat entity of the older APIs (XDR `entities`, Endpoint `evidence`) and what they are called
 * here.
 */
const FROM_ENTITY = [
  ["deviceId", "deviceId"],
  ["userName", "accountName"],
  ["userDomain", "domainName"],
  ["userSid", "userSid"],
  ["userPrincipalName", "userPrincipalName"],
  ["userPrincipalName", "mailboxAddress"],
  ["userName", "mailboxDisplayName"],
  ["userId", "aadUserId"],
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
  ["resourceId", "securityGroupId"],
  ["resourceName", "securityGroupName"],
] as const satisfies readonly (readonly [TextFact, string])[];

const STATUSES = ["verdict", "remediationStatus", "detectionStatus", "deliveryAction"] as const;

/** One entity in the flat form of the older APIs. */
export function entityFacts(entity: JsonObject): ItemFacts {
  const facts = new ItemFacts();
  for (const name of STATUSES) put(facts, name, spelled(name, textOf(entity[name])));
  for (const [name, member] of FROM_ENTITY) put(facts, name, textOf(entity[member]));
  put(facts, "processId", wholeNumber(entity["processId"]));
  put(facts, "parentProcessId", wholeNumber(entity["parentProcessId"]));
  putAddress(facts, textOf(entity["ipAddress"]));
  putRegistryKey(facts, entity, textOf(entity["registryKey"]));
  const kind = textOf(entity["entityType"])?.toLowerCase();
  if (kind === "process") put(facts, "processName", facts.fileName);
  putComposed(facts);
  if (kind !== undefined) facts.evidenceKind = kind;
  putResourceType(facts, kind);
  facts.details = () =>
    Object.keys(entity).flatMap((name) => (ENTITY_MEMBERS.has(name) ? [] : detail(entity, name, [name])));
  return facts;
}

/** Members of an entity that are a fact, or part of one. */
const ENTITY_MEMBERS: ReadonlySet<string> = new Set([
  ...FROM_ENTITY.map(([, member]) => member),
  ...STATUSES,
  "entityType",
  "processId",
  "parentProcessId",
  "registryHive",
  "registryKey",
]);

function putRegistryKey(facts: ItemFacts, item: JsonObject, key: string | undefined): void {
  if (key === undefined) return;
  const hive = textOf(item["registryHive"]);
  facts.registryKey = hive === undefined ? key : `${hive}\\${key}`;
}

function putResourceType(facts: ItemFacts, kind: string | undefined): void {
  if (facts.resourceId !== undefined || facts.resourceName !== undefined) put(facts, "resourceType", kind);
}

type Steps = readonly string[];

/** Where a fact stands. */
interface FactPlace<Name> {
  readonly name: Name;
  readonly steps: Steps;
}

function stepsOf(place: string): Steps {
  return place === "" ? [] : place.split(".");
}

/** What stands there; of a list on the way its first object. */
function valueAt(item: JsonObject, steps: Steps): unknown {
  if (steps.length === 1) return item[steps[0]!];
  let value: unknown = item;
  for (const step of steps) {
    if (Array.isArray(value)) value = value.find(isObject);
    if (!isObject(value)) return undefined;
    value = value[step];
  }
  return value;
}

function objectAt(item: JsonObject, steps: Steps): JsonObject | undefined {
  const value = valueAt(item, steps);
  if (Array.isArray(value)) return value.find(isObject);
  return isObject(value) ? value : undefined;
}

/** Ids are text in one kind and numbers in the next. */
function scalarAt(item: JsonObject, steps: Steps): string | undefined {
  const value = valueAt(item, steps);
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value === "" ? undefined : value;
  return Array.isArray(value) ? textsOf(value)[0] : digitsOf(value);
}

/** Every scalar that stands there, through all lists on the way. */
function allAt(value: unknown, steps: Steps, into: string[], at = 0): void {
  if (Array.isArray(value)) {
    for (const element of value) allAt(element, steps, into, at);
  } else if (at < steps.length) {
    if (isObject(value)) allAt(value[steps[at]!], steps, into, at + 1);
  } else {
    const text = scalarText(value);
    if (text !== undefined) into.push(text);
    // A dictionary, as Kubernetes' labels are.
    else if (isObject(value)) {
      for (const name in value) {
        const entry = scalarText(value[name]);
        if (entry !== undefined) into.push(`${name}=${entry}`);
      }
    }
  }
}

function scalarText(value: unknown): string | undefined {
  return typeof value === "boolean" ? String(value) : (textOf(value) ?? digitsOf(value));
}

/** A kind's rules with its places taken apart: made once, used for every item. */
interface Reader {
  readonly kind: string;
  readonly rules: KindRules;
  readonly text: readonly FactPlace<TextFact>[];
  readonly lists: readonly FactPlace<TextFact>[];
  readonly numbers: readonly FactPlace<NumberFact>[];
  readonly device: Steps | undefined;
  readonly account: Steps | undefined;
  readonly file: Steps | undefined;
  readonly hashes: Steps | undefined;
  readonly address: Steps | undefined;
  readonly ownAddress: Steps | undefined;
  readonly macAddress: Steps | undefined;
  readonly connection: Readonly<Record<"near" | "nearPort" | "far" | "farPort", Steps | undefined>> | undefined;
  readonly details: readonly (readonly [string, Steps])[];
  /** Where addresses are expected: what is none is named in the context. */
  readonly addresses: readonly (readonly [string, Steps])[];
}

function readerOf(name: string, rules: KindRules): Reader {
  const pairs = <Name extends string>(
    places: Readonly<Partial<Record<Name, string | readonly string[]>>> | undefined,
  ) =>
    (Object.entries(places ?? {}) as [Name, string | readonly string[]][]).flatMap(([fact, all]) =>
      (typeof all === "string" ? [all] : all).map((place) => ({ name: fact, steps: stepsOf(place) })),
    );
  const steps = (place: string | undefined): Steps | undefined => (place === undefined ? undefined : stepsOf(place));
  const below = (place: string | undefined, members: readonly string[]): readonly string[] =>
    place === undefined ? [] : members.map((member) => (place === "" ? member : `${place}.${member}`));
  const { connection } = rules;
  const details = [
    ...(rules.details ?? []),
    ...below(rules.device, DETAILS_OF_DEVICE),
    ...below(rules.account, DETAILS_OF_ACCOUNT),
    ...below(rules.file, DETAILS_OF_FILE),
    ...(rules.device === "" ? [] : ["tags"]),
    ...DETAILS_OF_ALL,
  ];
  return {
    kind: rules.named ?? name.toLowerCase(),
    rules,
    text: pairs(rules.text),
    lists: pairs(rules.lists),
    numbers: pairs(rules.numbers),
    device: steps(rules.device),
    account: steps(rules.account),
    file: steps(rules.file),
    hashes: steps(rules.hashes),
    address: steps(rules.address),
    ownAddress: steps(rules.ownAddress),
    macAddress: steps(rules.macAddress),
    connection:
      connection === undefined
        ? undefined
        : {
            near: steps(connection.near),
            nearPort: steps(connection.nearPort),
            far: steps(connection.far),
            farPort: steps(connection.farPort),
          },
    details: details.map((place) => [place, stepsOf(place)] as const),
    addresses: [rules.address, rules.ownAddress, connection?.near, connection?.far].flatMap((place) =>
      place === undefined ? [] : [[place, stepsOf(place)] as const],
    ),
  };
}

const READERS: ReadonlyMap<string, Reader> = new Map(
  Object.entries(EVIDENCE_RULES).map(([name, rules]) => [`${name}Evidence`, readerOf(name, rules)] as const),
);

/** One item of Graph's evidence; a kind that the table does not have gives its kind, ids and names. */
export function graphEvidenceFacts(item: JsonObject): ItemFacts {
  return knownEvidenceFacts(item) ?? unknownEvidenceFacts(item);
}

/** By the table alone: undefined for a kind that it does not have. */
export function knownEvidenceFacts(item: JsonObject): ItemFacts | undefined {
  const reader = READERS.get(evidenceKind(item));
  if (reader === undefined) return undefined;
  const facts = commonFacts(item, reader.kind);
  if (reader.account !== undefined) {
    const account = objectAt(item, reader.account);
    if (account !== undefined) putAccount(facts, account);
  }
  if (reader.device !== undefined) {
    const device = objectAt(item, reader.device);
    if (device !== undefined) {
      put(facts, "deviceId", textOf(device["mdeDeviceId"]));
      putDevice(facts, device);
    }
  }
  if (reader.file !== undefined) {
    const file = objectAt(item, reader.file);
    if (file !== undefined) putFile(facts, file);
  }
  for (const { name, steps } of reader.text) {
    if (facts[name] !== undefined) continue;
    const text = scalarAt(item, steps);
    if (text !== undefined) facts[name] = text;
  }
  for (const { name, steps } of reader.lists) {
    const all: string[] = [];
    allAt(item, steps, all);
    put(facts, name, listed(all, ", "));
  }
  for (const { name, steps } of reader.numbers) put(facts, name, wholeNumber(valueAt(item, steps)));
  if (reader.hashes !== undefined) {
    const hashes = valueAt(item, reader.hashes);
    for (const hash of Array.isArray(hashes) ? objectsOf(hashes) : isObject(hashes) ? [hashes] : [])
      putHash(facts, hash);
  }
  putAddresses(facts, item, reader);
  if (reader.rules.named === "registry") putRegistryKey(facts, item, facts.registryKey);
  if (facts.deviceName !== undefined && facts.deviceHost === undefined) putDeviceName(facts, facts.deviceName);
  putComposed(facts);
  putResourceType(facts, reader.kind);
  facts.details = () => [
    ...reader.addresses.flatMap(([name, steps]) => (isAddressAt(item, steps) ? [] : detail(item, name, steps))),
    ...reader.details.flatMap(([name, steps]) => detail(item, name, steps)),
  ];
  return facts;
}

function isAddressAt(item: JsonObject, steps: Steps): boolean {
  const text = scalarAt(item, steps);
  return text !== undefined && (isIpv4(text) || isIpv6(text));
}

function commonFacts(item: JsonObject, kind: string): ItemFacts {
  const facts = new ItemFacts();
  facts.evidenceKind = kind;
  const verdict = spelled("verdict", textOf(item["verdict"]));
  if (verdict !== undefined) facts.verdict = verdict;
  const remediation = spelled("remediationStatus", textOf(item["remediationStatus"]));
  if (remediation !== undefined) facts.remediationStatus = remediation;
  const detection = spelled("detectionStatus", textOf(item["detectionStatus"]));
  if (detection !== undefined) facts.detectionStatus = detection;
  const delivery = spelled("deliveryAction", textOf(item["deliveryAction"]));
  if (delivery !== undefined) facts.deliveryAction = delivery;
  const roles = rolesOf(item["roles"], item["detailedRoles"]);
  if (roles !== undefined) facts.roles = roles;
  return facts;
}

function rolesOf(roles: unknown, detailed: unknown): string | undefined {
  const isEmpty = (list: unknown): boolean => !Array.isArray(list) || list.length === 0;
  return isEmpty(roles) && isEmpty(detailed) ? undefined : listed([...textsOf(roles), ...textsOf(detailed)], ", ");
}

function putAddresses(facts: ItemFacts, item: JsonObject, reader: Reader): void {
  const { address, ownAddress, connection } = reader;
  if (address !== undefined) putAddress(facts, scalarAt(item, address));
  if (ownAddress !== undefined) {
    const text = scalarAt(item, ownAddress);
    if (text !== undefined) {
      const { ipv4, ipv6 } = addressesOfHost([text]);
      put(facts, "deviceIp", ipv4);
      put(facts, "deviceIpv6", ipv6);
      put(facts, "deviceAddresses", text);
    }
  }
  if (reader.macAddress !== undefined) {
    const text = scalarAt(item, reader.macAddress);
    if (text !== undefined) put(facts, "deviceMac", macAddress(text));
  }
  if (connection === undefined) return;
  const end = (place: Steps | undefined, portPlace: Steps | undefined): Connection["near"] =>
    connectionEnd(
      place === undefined ? undefined : scalarAt(item, place),
      portPlace === undefined ? undefined : valueAt(item, portPlace),
    );
  const near = end(connection.near, connection.nearPort);
  const far = end(connection.far, connection.farPort);
  facts.connection = { near, far, farByRole: reader.rules.connection?.farByRole ?? false };
  put(facts, "ip", far.ip ?? near.ip);
  put(facts, "ipv6", far.ipv6 ?? near.ipv6);
}

const PORT_MAX = 65_535;

/** One end, without what is not an address or not a port. */
export function connectionEnd(address: string | undefined, givenPort: unknown): Connection["near"] {
  const port = wholeNumber(givenPort);
  const end: { -readonly [K in keyof Connection["near"]]: Connection["near"][K] } = {};
  putAddress(end, address);
  if (typeof port === "number" && port >= 0 && port <= PORT_MAX) end.port = port;
  return end;
}

const DETAIL_MAX = 1000;

function detail(item: JsonObject, name: string, steps: Steps): readonly string[] {
  const all: string[] = [];
  allAt(item, steps, all);
  const text = listed(all, ", ", DETAIL_MAX);
  return text === undefined ? [] : [`${name}: ${text}`];
}

const ID_MEMBER = /(?:^i|I)d$/;
const NAME_MEMBER = /(?:^n|N)ame$/;
/** Members that every kind has, and the type itself. */
const BASE_MEMBERS = new Set([
  "@odata.type",
  "createdDateTime",
  "verdict",
  "remediationStatus",
  "remediationStatusDetails",
  "detectionStatus",
  "roles",
  "detailedRoles",
  "tags",
]);

/**
 * Microsoft adds kinds without notice: members that look like ids and names, and those that other kinds have,
 * say more than an empty line.
 */
function unknownEvidenceFacts(item: JsonObject): ItemFacts {
  const kind = evidenceKind(item)
    .replace(/Evidence$/, "")
    .toLowerCase();
  const facts = commonFacts(item, kind === "" ? "unknown" : kind);
  if (isObject(item["userAccount"])) putAccount(facts, item["userAccount"]);
  for (const file of [item["fileDetails"], item["imageFile"]]) if (isObject(file)) putFile(facts, file);
  put(facts, "deviceId", textOf(item["mdeDeviceId"]));
  putDevice(facts, item);
  put(facts, "url", textOf(item["url"]));
  putAddress(facts, textOf(item["ipAddress"]));
  for (const [name, value] of Object.entries(item)) {
    if (BASE_MEMBERS.has(name) || name === "mdeDeviceId") continue;
    if (ID_MEMBER.test(name)) put(facts, "resourceId", textOf(value) ?? digitsOf(value));
    else if (NAME_MEMBER.test(name)) put(facts, "resourceName", textOf(value));
  }
  putComposed(facts);
  putResourceType(facts, facts.evidenceKind);
  facts.details = () => {
    const names = Object.keys(item).filter((name) => !BASE_MEMBERS.has(name) && !isObject(item[name]));
    return [...names, ...DETAILS_OF_ALL].flatMap((name) => detail(item, name, [name]));
  };
  return facts;
}
