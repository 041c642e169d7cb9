/**
 * The source and the destination side of an alert, from the roles of its evidence. The attacker is the
 * source, what was attacked is the destination; without roles the device and the acting user are the source
 * and an address is the destination. Roles: Microsoft Graph docs, `evidenceRole`.
 */
import { accountLabel, EvidenceFacts, type ItemFacts } from "./evidence.ts";

/** Facts of evidence with one member of each side per CEF key. */
export class Direction extends EvidenceFacts {
  sourceHost?: string;
  sourceDomain?: string;
  sourceIp?: string;
  sourceIpv6?: string;
  /** As others see it outside of its network. */
  sourceExternalIp?: string;
  sourceMac?: string;
  sourcePort?: number;
  sourceUser?: string;
  /** The account's domain; without an account the device's. */
  sourceNtDomain?: string;
  sourceUserId?: string;
  destinationHost?: string;
  destinationDomain?: string;
  destinationIp?: string;
  destinationIpv6?: string;
  destinationExternalIp?: string;
  destinationMac?: string;
  destinationPort?: number;
  destinationUser?: string;
  destinationNtDomain?: string;
  destinationUserId?: string;
}

export type Side = "source" | "destination";

const SOURCE_ROLES = new Set(["attacker", "source", "commandandcontrol"]);
const DESTINATION_ROLES = new Set(["attacked", "destination", "compromised"]);

/** Most alerts have the same few roles. They come from outside: more than so many are not remembered. */
const SIDES = new Map<string, Side | undefined>();
const SIDES_MAX = 200;

/** Where roles contradict, who acts wins. */
export function sideOf(roles: string | undefined): Side | undefined {
  if (roles === undefined) return undefined;
  const before = SIDES.get(roles);
  if (before !== undefined || SIDES.has(roles)) return before;
  const side = sideOfRoles(roles);
  if (SIDES.size < SIDES_MAX) SIDES.set(roles, side);
  return side;
}

function sideOfRoles(roles: string): Side | undefined {
  let side: Side | undefined;
  for (const role of roles.split(",")) {
    const word = role.replaceAll(" ", "").toLowerCase();
    if (SOURCE_ROLES.has(word)) return "source";
    if (DESTINATION_ROLES.has(word)) side = "destination";
  }
  return side;
}

/** An account by all the names it has. */
interface Account {
  readonly name: string;
  readonly domain: string | undefined;
  readonly userPrincipalName: string | undefined;
  readonly ids: readonly (string | undefined)[];
}

interface End {
  /** The item that the host and its own addresses come from. */
  device: ItemFacts | undefined;
  ip: string | undefined;
  ipv6: string | undefined;
  port: number | undefined;
  user: Account | undefined;
  /** A role or the item itself put a host or an address here. */
  isCertain: boolean;
}

function newEnd(): End {
  return { device: undefined, ip: undefined, ipv6: undefined, port: undefined, user: undefined, isCertain: false };
}

/** Writes both sides of the items, in their order: what has a role comes before what has none. */
export function addDirection(to: Direction, items: readonly ItemFacts[]): void {
  const source = newEnd();
  const destination = newEnd();
  const sides = items.map(({ roles }) => sideOf(roles));
  const hasRoles = sides.some((side) => side !== undefined);
  if (hasRoles) {
    addByRole(source, destination, "source", items, sides);
    addByRole(destination, source, "destination", items, sides);
  }
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (item.connection !== undefined) addConnection(item.connection, sides[i], source, destination);
    if (!isMail(item)) continue;
    addUser(source, destination, mailAccount(item.sender));
    addUser(destination, source, mailAccount(firstOf(item.recipient)));
    addAddress(source, destination, item);
  }
  const needsDevice = source.device === undefined && destination.device === undefined;
  const hasUser = hasRoles && items.some((item, i) => sides[i] !== undefined && item.evidenceKind === "user");
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (sides[i] !== undefined) continue;
    // One that plays a role says more than one that is merely mentioned.
    if (needsDevice && hasHost(item)) {
      const end = deviceEnd(item, source, destination);
      addDevice(end, end === source ? destination : source, item);
    }
    if (!(hasUser && item.evidenceKind === "user")) addUser(source, destination, accountOf(item));
  }
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (sides[i] !== undefined || item.connection !== undefined || isMail(item) || !hasAddress(item)) continue;
    if (!destination.isCertain) addAddress(destination, source, item);
    else if (!source.isCertain) addAddress(source, destination, item);
  }
  write(to, source, destination);
}

function addByRole(
  end: End,
  opposite: End,
  side: Side,
  items: readonly ItemFacts[],
  sides: readonly (Side | undefined)[],
): void {
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (sides[i] !== side) continue;
    addDevice(end, opposite, item);
    if (item.connection === undefined && !isMail(item)) addAddress(end, opposite, item);
    addUser(end, opposite, accountOf(item));
    end.isCertain ||= hasHost(item) || hasAddress(item);
  }
}

function isMail({ sender, recipient }: ItemFacts): boolean {
  return sender !== undefined || recipient !== undefined;
}

function hasHost({ deviceHost, deviceIp, deviceIpv6 }: ItemFacts): boolean {
  return deviceHost !== undefined || deviceIp !== undefined || deviceIpv6 !== undefined;
}

function hasAddress({ ip, ipv6 }: ItemFacts): boolean {
  return ip !== undefined || ipv6 !== undefined;
}

/**
 * A device without a role is the source, unless the source is known and is another; one whose address is the
 * destination of a connection is the destination.
 */
function deviceEnd({ deviceIp, deviceIpv6 }: ItemFacts, source: End, destination: End): End {
  const isAt = (end: End): boolean =>
    (deviceIp !== undefined && deviceIp === end.ip) || (deviceIpv6 !== undefined && deviceIpv6 === end.ipv6);
  if (isAt(source)) return source;
  if (isAt(destination)) return destination;
  return source.isCertain && !destination.isCertain ? destination : source;
}

function addDevice(end: End, opposite: End, item: ItemFacts): void {
  if (end.device !== undefined || !hasHost(item) || isSameDevice(opposite.device, item)) return;
  end.device = item;
  addOneAddress(end, opposite, item.deviceIp, item.deviceIpv6);
}

function isSameDevice(one: ItemFacts | undefined, { deviceId, deviceName }: ItemFacts): boolean {
  if (one === undefined) return false;
  if (deviceId !== undefined && one.deviceId !== undefined) return deviceId === one.deviceId;
  return deviceName !== undefined && deviceName.toLowerCase() === one.deviceName?.toLowerCase();
}

function addAddress(end: End, opposite: End, { ip, ipv6 }: ItemFacts): void {
  addOneAddress(end, opposite, ip, ipv6);
}

function addOneAddress(end: End, opposite: End, ip: string | undefined, ipv6: string | undefined): void {
  if (end.ip !== undefined || end.ipv6 !== undefined) return;
  if (ip !== undefined && ip !== opposite.ip) end.ip = ip;
  if (ipv6 !== undefined && ipv6 !== opposite.ipv6) end.ipv6 = ipv6;
}

function addConnection(
  { near, far, farByRole }: NonNullable<ItemFacts["connection"]>,
  side: Side | undefined,
  source: End,
  destination: End,
): void {
  const [nearEnd, farEnd] = farByRole && side === "source" ? [destination, source] : [source, destination];
  for (const [end, { ip, ipv6, port }] of [
    [nearEnd, near],
    [farEnd, far],
  ] as const) {
    const isFree = end.ip === undefined && end.ipv6 === undefined;
    if (isFree) {
      end.ip = ip;
      end.ipv6 = ipv6;
      end.isCertain ||= ip !== undefined || ipv6 !== undefined;
    }
    const isOurs = (ip ?? ipv6) === undefined ? isFree : end.ip === ip && (ip !== undefined || end.ipv6 === ipv6);
    if (isOurs && end.port === undefined) end.port = port;
  }
}

function accountOf(item: ItemFacts): Account | undefined {
  const { userName, userDomain, userPrincipalName, userSid, userId } = item;
  const name = userName ?? userPrincipalName;
  if (name === undefined) return undefined;
  return { name, domain: userDomain, userPrincipalName, ids: [userSid, userId] };
}

function mailAccount(address: string | undefined): Account | undefined {
  return address === undefined ? undefined : { name: address, domain: undefined, userPrincipalName: address, ids: [] };
}

/** A list of recipients has one place only. */
function firstOf(list: string | undefined): string | undefined {
  return list?.split(", ", 1)[0];
}

/** Never one account on both sides: the first that was put somewhere stays there. */
function addUser(end: End, opposite: End, account: Account | undefined): void {
  if (account === undefined || end.user !== undefined) return;
  if (opposite.user === undefined) {
    end.user = account;
    return;
  }
  if (isSameAccount(account, opposite.user)) return;
  const name = [account.name, accountLabel(account.name, account.domain), account.userPrincipalName].find(
    (label) => label !== undefined && !isSameText(label, opposite.user?.name),
  );
  if (name !== undefined) end.user = { ...account, name };
}

function isSameText(one: string | undefined, two: string | undefined): boolean {
  return one !== undefined && one.toLowerCase() === two?.toLowerCase();
}

function isSameAccount(one: Account, two: Account): boolean {
  for (let i = 0; i < one.ids.length; i++) if (isSameText(one.ids[i], two.ids[i])) return true;
  if (isSameText(one.userPrincipalName, two.userPrincipalName)) return true;
  if (isSameText(one.name, two.userPrincipalName) || isSameText(two.name, one.userPrincipalName)) return true;
  if (!isSameText(one.name, two.name)) return false;
  return one.domain === undefined || two.domain === undefined || isSameText(one.domain, two.domain);
}

function write(to: Direction, source: End, destination: End): void {
  const { device: from, user: by } = source;
  if (from !== undefined) {
    if (from.deviceHost !== undefined) to.sourceHost = from.deviceHost;
    if (from.deviceDomain !== undefined) to.sourceDomain = from.deviceDomain;
    if (from.deviceExternalIp !== undefined) to.sourceExternalIp = from.deviceExternalIp;
    if (from.deviceMac !== undefined) to.sourceMac = from.deviceMac;
  }
  if (source.ip !== undefined) to.sourceIp = source.ip;
  if (source.ipv6 !== undefined) to.sourceIpv6 = source.ipv6;
  if (source.port !== undefined) to.sourcePort = source.port;
  if (by !== undefined) to.sourceUser = by.name;
  const fromDomain = by === undefined ? from?.deviceNtDomain : by.domain;
  if (fromDomain !== undefined) to.sourceNtDomain = fromDomain;
  const byId = by === undefined ? undefined : idOf(by);
  if (byId !== undefined) to.sourceUserId = byId;

  const { device: at, user: on } = destination;
  if (at !== undefined) {
    if (at.deviceHost !== undefined) to.destinationHost = at.deviceHost;
    if (at.deviceDomain !== undefined) to.destinationDomain = at.deviceDomain;
    if (at.deviceExternalIp !== undefined) to.destinationExternalIp = at.deviceExternalIp;
    if (at.deviceMac !== undefined) to.destinationMac = at.deviceMac;
  }
  if (destination.ip !== undefined) to.destinationIp = destination.ip;
  if (destination.ipv6 !== undefined) to.destinationIpv6 = destination.ipv6;
  if (destination.port !== undefined) to.destinationPort = destination.port;
  if (on !== undefined) to.destinationUser = on.name;
  const atDomain = on === undefined ? at?.deviceNtDomain : on.domain;
  if (atDomain !== undefined) to.destinationNtDomain = atDomain;
  const onId = on === undefined ? undefined : idOf(on);
  if (onId !== undefined) to.destinationUserId = onId;
}

function idOf({ ids }: Account): string | undefined {
  return ids.find((id) => id !== undefined);
}
