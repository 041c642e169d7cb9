/**
 * What a record says of its evidence: the first item of each group of members. Written out member by member:
 * access by a name in a variable is ten times slower, and this is done for each item of each alert.
 */
import type { EvidenceFacts, ItemFacts } from "./evidence.ts";

/**
 * Members of an item that belong together, each group as one bit of a number: an item gives a group only when
 * the record has nothing of it yet.
 */
export const DEVICE = 1;
export const THREAT = 1 << 1;
const FILE = 1 << 2;
const PROCESS = 1 << 3;
const USER = 1 << 4;
const URL = 1 << 5;
const IP = 1 << 6;
const IPV6 = 1 << 7;
const PROTOCOL = 1 << 8;
const USER_AGENT = 1 << 9;
const MAIL = 1 << 10;
const REGISTRY = 1 << 11;
const APPLICATION = 1 << 12;

/** Of a group that it has not, a record may be given what is not known. */
type Facts = { [K in keyof EvidenceFacts]: EvidenceFacts[K] | undefined };

/** Copies what is of groups that are not taken yet; the groups that are taken then. */
export function addFirst(record: EvidenceFacts, item: ItemFacts, taken: number): number {
  const to: Facts = record;
  let after = taken;
  // What stands in the place of a device counts where there is no device. The id of its device alone does not
  // make a file or a process a device.
  const isDevice = item.deviceHost !== undefined || item.deviceIp !== undefined;
  if ((taken & DEVICE) === 0 && isDevice) {
    addDevice(to, item);
    after |= DEVICE;
  }
  if ((taken & FILE) === 0 && hasFile(item)) {
    to.fileName = item.fileName;
    to.filePath = item.filePath;
    to.fullFilePath = item.fullFilePath;
    to.sha1 = item.sha1;
    to.sha256 = item.sha256;
    to.md5 = item.md5;
    to.fileSize = item.fileSize;
    after |= FILE;
  }
  if ((taken & PROCESS) === 0 && hasProcess(item)) {
    to.processName = item.processName;
    to.commandLine = item.commandLine;
    to.processId = item.processId;
    to.parentProcessName = item.parentProcessName;
    to.parentProcessId = item.parentProcessId;
    after |= PROCESS;
  }
  if ((taken & USER) === 0 && hasUser(item)) {
    to.userName = item.userName;
    to.userDomain = item.userDomain;
    to.userSid = item.userSid;
    to.userPrincipalName = item.userPrincipalName;
    to.userId = item.userId;
    after |= USER;
  }
  if ((taken & MAIL) === 0 && hasMail(item)) {
    to.sender = item.sender;
    to.recipient = item.recipient;
    to.subject = item.subject;
    to.messageId = item.messageId;
    to.deliveryAction = item.deliveryAction;
    after |= MAIL;
  }
  if ((taken & APPLICATION) === 0 && (item.application ?? item.applicationId) !== undefined) {
    to.application = item.application;
    to.applicationId = item.applicationId;
    after |= APPLICATION;
  }
  return after | addSingle(to, item, taken);
}

/** Groups of one member. */
function addSingle(to: Facts, item: ItemFacts, taken: number): number {
  let added = 0;
  if ((taken & THREAT) === 0 && item.threatName !== undefined) {
    to.threatName = item.threatName;
    added |= THREAT;
  }
  if ((taken & URL) === 0 && item.url !== undefined) {
    to.url = item.url;
    added |= URL;
  }
  if ((taken & IP) === 0 && item.ip !== undefined) {
    to.ip = item.ip;
    added |= IP;
  }
  if ((taken & IPV6) === 0 && item.ipv6 !== undefined) {
    to.ipv6 = item.ipv6;
    added |= IPV6;
  }
  if ((taken & PROTOCOL) === 0 && item.protocol !== undefined) {
    to.protocol = item.protocol;
    added |= PROTOCOL;
  }
  if ((taken & USER_AGENT) === 0 && item.userAgent !== undefined) {
    to.userAgent = item.userAgent;
    added |= USER_AGENT;
  }
  if ((taken & REGISTRY) === 0 && item.registryKey !== undefined) {
    to.registryKey = item.registryKey;
    added |= REGISTRY;
  }
  return added;
}

/** Copies what is known of the item's device. */
export function addDevice(to: Facts, item: EvidenceFacts): void {
  if (item.deviceName !== undefined) to.deviceName = item.deviceName;
  if (item.deviceHost !== undefined) to.deviceHost = item.deviceHost;
  if (item.deviceDomain !== undefined) to.deviceDomain = item.deviceDomain;
  if (item.deviceNtDomain !== undefined) to.deviceNtDomain = item.deviceNtDomain;
  if (item.deviceId !== undefined) to.deviceId = item.deviceId;
  if (item.deviceIp !== undefined) to.deviceIp = item.deviceIp;
  if (item.deviceIpv6 !== undefined) to.deviceIpv6 = item.deviceIpv6;
  if (item.deviceExternalIp !== undefined) to.deviceExternalIp = item.deviceExternalIp;
  if (item.deviceMac !== undefined) to.deviceMac = item.deviceMac;
  if (item.deviceAddresses !== undefined) to.deviceAddresses = item.deviceAddresses;
  if (item.deviceGroup !== undefined) to.deviceGroup = item.deviceGroup;
  if (item.deviceTags !== undefined) to.deviceTags = item.deviceTags;
  if (item.loggedOnUsers !== undefined) to.loggedOnUsers = item.loggedOnUsers;
}

/** Whether anything is known of the item's device. */
export function hasDevice(item: EvidenceFacts): boolean {
  const { deviceName, deviceHost, deviceDomain, deviceNtDomain, deviceId, deviceIp, deviceIpv6 } = item;
  const { deviceExternalIp, deviceMac, deviceAddresses, deviceGroup, deviceTags, loggedOnUsers } = item;
  const name = deviceName ?? deviceHost ?? deviceDomain ?? deviceNtDomain ?? deviceId;
  const address = deviceIp ?? deviceIpv6 ?? deviceExternalIp ?? deviceMac ?? deviceAddresses;
  return (name ?? address ?? deviceGroup ?? deviceTags ?? loggedOnUsers) !== undefined;
}

function hasFile({ fileName, filePath, fullFilePath, sha1, sha256, md5, fileSize }: EvidenceFacts): boolean {
  return (fileName ?? filePath ?? fullFilePath ?? sha1 ?? sha256 ?? md5 ?? fileSize) !== undefined;
}

function hasProcess(item: EvidenceFacts): boolean {
  const { processName, commandLine, processId, parentProcessName, parentProcessId } = item;
  return (processName ?? commandLine ?? processId ?? parentProcessName ?? parentProcessId) !== undefined;
}

function hasUser({ userName, userDomain, userSid, userPrincipalName, userId }: EvidenceFacts): boolean {
  return (userName ?? userDomain ?? userSid ?? userPrincipalName ?? userId) !== undefined;
}

function hasMail({ sender, recipient, subject, messageId, deliveryAction }: EvidenceFacts): boolean {
  return (sender ?? recipient ?? subject ?? messageId ?? deliveryAction) !== undefined;
}
