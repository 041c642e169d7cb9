/** Addresses and host names as the forms for ArcSight need them. */

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

export interface Addresses {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** Loopback and unspecified addresses, in both families and with zeros written out or not. */
const OF_NO_HOST = /^(?:127\.|0\.0\.0\.0$|(?:0{0,4}:){2,7}0{0,3}[01]?$|::ffff:127\.)/i;
/** 169.254.0.0/16 and fe80::/10. */
const LINK_LOCAL = /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i;

/**
 * The addresses by which others know a device: the first of each family that is neither loopback nor
 * link-local. Link-local ones count only where there is nothing else, loopback ones never.
 */
export function addressesOfHost(listed: readonly string[]): Addresses {
  const linkLocal: string[] = [];
  let ipv4: string | undefined;
  let ipv6: string | undefined;
  for (const address of listed) {
    if (ipv4 !== undefined && ipv6 !== undefined) break;
    if (OF_NO_HOST.test(address)) continue;
    if (LINK_LOCAL.test(address)) linkLocal.push(address);
    else if (ipv4 === undefined && isIpv4(address)) ipv4 = address;
    else if (ipv6 === undefined && isIpv6(address)) ipv6 = address;
  }
  if (ipv4 === undefined && ipv6 === undefined) {
    ipv4 = linkLocal.find(isIpv4);
    ipv6 = linkLocal.find(isIpv6);
  }
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}

/** `host.domain` apart; an address or a bare name has no domain. */
export function splitDnsName(name: string): { readonly host: string; readonly domain?: string } {
  const dot = name.indexOf(".");
  if (dot <= 0 || dot === name.length - 1 || isIpv4(name)) return { host: name };
  return { host: name.slice(0, dot), domain: name.slice(dot + 1) };
}

const MAC = /^(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}$|^(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}$|^[0-9a-f]{12}$/i;

/** Six pairs with colons, however the address was written; undefined where it is none. */
export function macAddress(text: string): string | undefined {
  if (!MAC.test(text)) return undefined;
  return text.replace(/[^0-9a-f]/gi, "").replace(/..(?!$)/g, "$&:");
}
