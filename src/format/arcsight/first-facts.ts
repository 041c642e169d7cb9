/** What a record says of its evidence: the first item of each group of members. */
import type { EvidenceFacts, ItemFacts } from "./evidence.ts";

const DEVICE_MEMBERS = [
  "deviceName",
  "deviceHost",
  "deviceDomain",
  "deviceNtDomain",
  "deviceId",
  "deviceIp",
  "deviceIpv6",
  "deviceExternalIp",
  "deviceMac",
  "deviceAddresses",
  "deviceGroup",
  "deviceTags",
  "loggedOnUsers",
] as const satisfies readonly (keyof EvidenceFacts)[];

/**
 * Members of an item that belong together: an item gives a group only when the record has nothing of it yet.
 * What stands in the place of a device counts where there is no device.
 */
const GROUPS = [
  DEVICE_MEMBERS,
  ["threatName"],
  ["fileName", "filePath", "fullFilePath", "sha1", "sha256", "md5", "fileSize"],
  ["processName", "commandLine", "processId", "parentProcessName", "parentProcessId"],
  ["userName", "userDomain", "userSid", "userPrincipalName", "userId"],
  ["url"],
  ["ip"],
  ["ipv6"],
  ["protocol"],
  ["userAgent"],
  ["sender", "recipient", "subject", "messageId", "deliveryAction"],
  ["registryKey"],
  ["application", "applicationId"],
] as const satisfies readonly (readonly (keyof EvidenceFacts)[])[];

/** Each group is one bit of a number, in the order of `GROUPS`. */
export const DEVICE = 1;
export const THREAT = 1 << 1;

/** Copies what is of groups that are not taken yet; the groups that are taken then. */
export function addFirst(record: EvidenceFacts, item: ItemFacts, taken: number): number {
  let after = taken;
  for (const [group, names] of GROUPS.entries()) {
    const bit = 1 << group;
    if ((taken & bit) !== 0) continue;
    // The id of its device alone does not make a file or a process a device.
    if (bit === DEVICE && item.deviceHost === undefined && item.deviceIp === undefined) continue;
    if (copyFacts(record, item, names)) after |= bit;
  }
  return after;
}

/** Copies what is known of the item's device. True when anything is. */
export function addDevice(record: EvidenceFacts, item: EvidenceFacts): boolean {
  return copyFacts(record, item, DEVICE_MEMBERS);
}

/** True when any of the members is known. */
function copyFacts(to: EvidenceFacts, from: EvidenceFacts, names: readonly (keyof EvidenceFacts)[]): boolean {
  let isKnown = false;
  for (const name of names) isKnown = copyFact(to, from, name) || isKnown;
  return isKnown;
}

/** Copies a member that is known. True when it is. */
export function copyFact<K extends keyof EvidenceFacts>(
  to: Pick<EvidenceFacts, K>,
  from: Pick<EvidenceFacts, K>,
  name: K,
): boolean {
  const value = from[name];
  if (value === undefined) return false;
  to[name] = value;
  return true;
}
