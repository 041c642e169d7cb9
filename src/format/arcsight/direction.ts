/**
 * Who attacked what: the source and the destination side of an alert, from the roles of its evidence. The
 * attacker is the source, what was attacked is the destination; without roles the device and the acting user
 * are the source and an address is the destination. Roles: Microsoft Graph docs, `evidenceRole`.
 */
import { accountLabel, type ItemFacts } from "./evidence.ts";

/** One member of each side per CEF key. */
export interface Direction {
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

/** Where roles contradict, who acts wins. */
export function sideOf(roles: string | undefined): Side | undefined {
  if (roles === undefined) return undefined;
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

/**
 * Both sides of the items, in their order. `isUser` of an item whose account is what it is about, not the
 * account of a process.
 */
export function directionOf(items: readonly ItemFacts[]): Direction {
  const source = newEnd();
  const destination = newEnd();
  const other = (end: End): End => (end === source ? destination : source);
  const sides = items.map(({ roles }) => sideOf(roles));
  for (const side of ["source", "destination"] as const) {
    const end = side === "source" ? source : destination;
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      if (sides[i] !== side) continue;
      addDevice(end, other(end), item);
      if (item.connection === undefined && !isMail(item)) addAddress(end, other(end), item);
      addUser(end, other(end), accountOf(item));
      end.isCertain ||= hasHost(item) || hasAddress(item);
    }
  }
  for (let i = 0; i < items.length; i++) {
    const { connection } = items[i]!;
    if (connection !== undefined) addConnection(connection, sides[i], source, destination);
  }
  for (const item of items) {
    if (!isMail(item)) continue;
    addUser(source, destination, mailAccount(item.sender));
    addUser(destination, source, mailAccount(firstOf(item.recipient)));
    addAddress(source, destination, item);
  }
  const [hasDevice, hasUser] = [source.device ?? destination.device, items.some(isUserWithSide)];
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (sides[i] !== undefined) continue;
    // One that plays a role says more than one that is merely mentioned.
    if (hasDevice === undefined && hasHost(item)) {
      const end = deviceEnd(item, source, destination);
      addDevice(end, other(end), item);
    }
    if (!(hasUser && item.evidenceKind === "user")) addUser(source, destination, accountOf(item));
  }
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (sides[i] !== undefined || item.connection !== undefined || isMail(item) || !hasAddress(item)) continue;
    const end = !destination.isCertain ? destination : !source.isCertain ? source : undefined;
    if (end !== undefined) addAddress(end, other(end), item);
  }
  return written(source, destination);
}

function isUserWithSide(item: ItemFacts): boolean {
  return item.evidenceKind === "user" && sideOf(item.roles) !== undefined;
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

function written(source: End, destination: End): Direction {
  const direction: Record<string, string | number> = {};
  for (const [side, end] of [
    ["source", source],
    ["destination", destination],
  ] as const) {
    const { device, user } = end;
    const put = (member: string, value: string | number | undefined): void => {
      if (value !== undefined) direction[side + member] = value;
    };
    put("Host", device?.deviceHost);
    put("Domain", device?.deviceDomain);
    put("Ip", end.ip);
    put("Ipv6", end.ipv6);
    put("ExternalIp", device?.deviceExternalIp);
    put("Mac", device?.deviceMac);
    put("Port", end.port);
    put("User", user?.name);
    put("NtDomain", user === undefined ? device?.deviceNtDomain : user.domain);
    put(
      "UserId",
      user?.ids.find((id) => id !== undefined),
    );
  }
  return direction;
}
