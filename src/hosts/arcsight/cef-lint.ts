import { isIpv4, isIpv6 } from "../../format/arcsight/addresses.ts";
import type { CefKey, CefVersion } from "../../format/arcsight/cef-dictionary.ts";
import { CEF_HEADER_MAX, CEF_KEYS } from "../../format/arcsight/cef-dictionary.ts";

/** The longest message that a syslog receiver accepts by default (rsyslog: 8 KiB). */
const LINE_MAX_BYTES = 8_192;
/**
 * Keys that only the consumer sets (CEF Implementation Standard, appendix A). A connector overwrites or
 * rejects them.
 */
const CONSUMER_KEYS = new Set([
  "agt",
  "ahost",
  "aid",
  "amac",
  "art",
  "at",
  "atz",
  "av",
  "agentZoneURI",
  "customerExternalID",
  "customerURI",
  "dlat",
  "dlong",
  "eventId",
  "rawEvent",
  "slat",
  "slong",
]);
const HEADER_NAMES = Object.keys(CEF_HEADER_MAX) as (keyof typeof CEF_HEADER_MAX)[];
const SEVERITY = /^(?:\d|10|Unknown|Low|Medium|High|Very-High)$/;
const TIME = /^(?:\d{10,14}|[A-Z][a-z]{2} \d{2}(?: \d{4})? \d{2}:\d{2}:\d{2}(?:\.\d{3})?(?: .+)?)$/;
const KEY = /(?:^| )([A-Za-z0-9_.[\]-]+)=/g;
/** Custom fields that need a label. */
const LABELLED = /^(?:cs[1-6]|cn[1-3]|cfp[1-4]|c6a[1-4]|flexString[12]|flexNumber1|flexDate1|deviceCustomDate[12])$/;

export function isCefLine(line: string): boolean {
  return /(?:^|\s)CEF:\d+(?:\.\d+)?\|/.test(line);
}

/**
 * What strict readers (liblognorm, ArcSight's own connectors by their standard) reject in one CEF line, with
 * or without a syslog prefix; one sentence each. Source of the rules: ArcSight's CEF Implementation Standard,
 * document version 27.
 *
 * @param isUtf8 whether its bytes are; a text no longer shows which of its U+FFFD stand for others.
 */
export function lintCefLine(line: string, isUtf8 = true): readonly string[] {
  const findings: string[] = [];
  const bytes = Buffer.byteLength(line, "utf8");
  if (bytes > LINE_MAX_BYTES)
    findings.push(`the line has ${bytes} bytes; receivers truncate it at ${LINE_MAX_BYTES} bytes by default`);
  if (!isUtf8) findings.push("the line contains bytes that are not UTF-8");
  const start = line.search(/CEF:\d/);
  if (start === -1) return [...findings, "the line does not contain CEF:"];
  const given = /^CEF:(\d+)/.exec(line.slice(start))?.[1] ?? "";
  const version: CefVersion = given === "0" ? 0 : 1;
  if (given !== "0" && given !== "1") findings.push(`the version is ${given}; readers know CEF:0 and CEF:1`);
  const header = headerOf(line.slice(start));
  if (header === undefined)
    return [
      ...findings,
      "the header has fewer than seven pipes; all seven are required, even before an empty extension",
    ];
  for (const [i, name] of HEADER_NAMES.entries()) lintHeaderField(name, header.fields[i + 1] ?? "", findings);
  if (!SEVERITY.test(header.fields[6] ?? ""))
    findings.push("the severity is neither 0 to 10 nor Unknown, Low, Medium, High, Very-High");
  lintExtension(header.rest, version, findings);
  return findings;
}

function headerOf(text: string): { readonly fields: readonly string[]; readonly rest: string } | undefined {
  const fields: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "|") {
      fields.push(text.slice(from, at));
      from = at + 1;
      if (fields.length === 7) return { fields, rest: text.slice(from) };
    }
  }
  return undefined;
}

function lintHeaderField(name: keyof typeof CEF_HEADER_MAX, raw: string, findings: string[]): void {
  const unknown = /\\(?:[^|]|$)/.exec(raw.replaceAll("\\\\", ""))?.[0];
  if (unknown !== undefined) findings.push(`${name} contains ${unknown}; in the header only \\\\ and \\| are escapes`);
  const value = raw.replaceAll(/\\([\\|])/g, "$1");
  if (value === "") findings.push(`${name} is empty`);
  if (value.length > CEF_HEADER_MAX[name])
    findings.push(`${name} has ${value.length} characters; at most ${CEF_HEADER_MAX[name]} are kept`);
}

function lintExtension(text: string, version: CefVersion, findings: string[]): void {
  const found = [...text.matchAll(KEY)];
  if (text.trim() !== "" && (found[0] === undefined || text.slice(0, found[0].index).trim() !== ""))
    findings.push("the extension does not begin with key=");
  const keys = new Set(found.map((key) => key[1] as string));
  const seen = new Set<string>();
  found.forEach((match, i) => {
    const key = match[1] as string;
    const raw = text.slice(match.index + match[0].length, found[i + 1]?.index ?? text.length);
    if (seen.has(key)) findings.push(`${key} occurs twice`);
    seen.add(key);
    lintPair(key, raw, version, findings);
    if (LABELLED.test(key) && !keys.has(`${key}Label`)) findings.push(`${key} has no ${key}Label`);
  });
}

function lintPair(key: string, raw: string, version: CefVersion, findings: string[]): void {
  const bare = /(?<!\\)(?:\\\\)*=/.test(raw);
  if (bare) findings.push(`${key} contains an unescaped =; write \\=`);
  const unknown = /\\(?:[^\\=nr]|$)/.exec(raw.replaceAll("\\\\", ""))?.[0];
  if (unknown !== undefined)
    findings.push(`${key} contains ${unknown}; in a value only \\\\, \\=, \\n and \\r are escapes`);
  if (CONSUMER_KEYS.has(key)) findings.push(`${key} may be set only by connectors`);
  else if (!Object.hasOwn(CEF_KEYS, key))
    findings.push(`${key} is not in the CEF dictionary; connectors put it into Additional Data`);
  else if (CEF_KEYS[key as CefKey].since > version)
    findings.push(`${key} belongs to CEF:1; readers of CEF:0 reject it or put it into Additional Data`);
  else lintValue(key as CefKey, raw.replaceAll(/\\([\\=nr])/g, "$1"), version, findings);
}

function lintValue(key: CefKey, value: string, version: CefVersion, findings: string[]): void {
  const { type, max } = CEF_KEYS[key];
  if (value === "") findings.push(`${key} is empty; omit it`);
  else if (max > 0 && value.length > max)
    findings.push(`${key} has ${value.length} characters; at most ${max} are kept`);
  else if ((type === "integer" || type === "long") && !/^-?\d+$/.test(value))
    findings.push(`${key} is not a whole number`);
  else if (type === "timestamp" && !TIME.test(value))
    findings.push(`${key} is neither epoch milliseconds nor MMM dd yyyy HH:mm:ss`);
  else if (type === "ipv4_address" && !isIpv4(value) && !(version === 1 && isIpv6(value)))
    findings.push(`${key} is not an IPv4 address; in CEF:0 an IPv6 address belongs in c6a1, c6a2 or c6a3`);
  else if (type === "ipv6_address" && !isIpv6(value)) findings.push(`${key} is not an IPv6 address`);
}
