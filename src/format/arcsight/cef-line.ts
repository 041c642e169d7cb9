/**
 * One CEF line from values: escaping, sizes, and the cut below a syslog receiver's limit. Source: ArcSight's
 * CEF Implementation Standard.
 */
import { createHash } from "node:crypto";
import { CEF_HEADER_MAX, CEF_KEYS, type CefKey, type CefVersion } from "./cef-dictionary.ts";

/**
 * rsyslog's default limit for a message is 8 KiB (a longer one arrives in pieces); a syslog header with a
 * long host name still fits before a line of this size.
 */
export const CEF_LINE_MAX_BYTES = 7936;

/** Vendor, product, version and class id are this program's and fit; the name comes from outside. */
export interface CefHeader {
  /** 0 when it is not given. */
  readonly version?: CefVersion;
  readonly deviceVendor: string;
  readonly deviceProduct: string;
  readonly deviceVersion: string;
  readonly deviceEventClassId: string;
  readonly name: string;
  /** 0 to 10 or `Unknown`, `Low`, `Medium`, `High`, `Very-High`. */
  readonly severity: string;
}

export interface CefPair {
  readonly key: CefKey;
  readonly value: string;
  /** A text that may be truncated (identifiers never are); 1 is truncated first. */
  readonly cutOrder?: number;
  /** The key's label, dropped with it. */
  readonly label?: string;
}

/**
 * Control characters other than CR and LF mean nothing to an analyst and break readers, and some readers end
 * a line at Unicode's own separators; a lone surrogate is not a character.
 */
export function cefText(value: string): string {
  return value
    .toWellFormed()
    .replace(/[\u2028\u2029]|[^\r\n\P{Cc}]/gu, " ")
    .trim();
}

function escapeCefHeader(value: string): string {
  if (!/[\\|\r\n]/.test(value)) return value;
  return value.replace(/\r\n|\r|\n/g, " ").replace(/[\\|]/g, (sign) => `\\${sign}`);
}

function escapeCefValue(value: string): string {
  const text = escapePrintable(value);
  if (!/[\r\n]/.test(text)) return text;
  return text.replaceAll("\r", "\\r").replaceAll("\n", "\\n");
}

function escapePrintable(value: string): string {
  const text = value.includes("\\") ? value.replaceAll("\\", "\\\\") : value;
  return text.includes("=") ? text.replaceAll("=", "\\=") : text;
}

/** At most `max` UTF-16 units, as Java counts; truncated between characters, ended with `…`. */
export function cutText(value: string, max: number): string {
  if (value.length <= max) return value;
  return `${Array.from(value.slice(0, max - 1))
    .join("")
    .replace(/[\ud800-\udbff]$/, "")
    .trimEnd()}…`;
}

/** The marker `sha256:` and 32 hex digits. */
const HASHED_LENGTH = 39;

/** An identifier is never truncated: above `max` a marker and 32 hex digits of its SHA-256 stand for it. */
export function cefIdentifier(value: string, max: number): string {
  return value.length <= max ? value : `sha256:${createHash("sha256").update(value).digest("hex").slice(0, 32)}`;
}

function headOf(header: CefHeader, name: string): string {
  const { version = 0, deviceVendor, deviceProduct, deviceVersion, deviceEventClassId, severity } = header;
  const device = `${escapeCefHeader(deviceVendor)}|${escapeCefHeader(deviceProduct)}|${escapeCefHeader(deviceVersion)}`;
  const event = `${escapeCefHeader(deviceEventClassId)}|${escapeCefHeader(name)}|${escapeCefHeader(severity)}`;
  return `CEF:${version}|${device}|${event}|`;
}

/** Header and pairs as they are: for what is known to fit. */
export function cefLine(header: CefHeader, pairs: readonly (readonly [key: string, value: string])[]): string {
  return `${headOf(header, header.name)}${pairs.map(([key, value]) => `${key}=${escapeCefValue(value)}`).join(" ")}`;
}

/**
 * Text that is written as it is: printable ASCII without a sign to escape, no blanks at its ends. Most values
 * are such.
 */
const PLAIN = /^[!-<>-[\]-~](?:[ -<>-[\]-~]*[!-<>-[\]-~])?$/;

/** Printable ASCII, no blanks at its ends: of such text only two signs have to be escaped. */
const PRINTABLE = /^[!-~](?:[ -~]*[!-~])?$/;

/** The header, within its sizes, up to the extension. */
export function cefHead(header: CefHeader): string {
  return headOf(header, fittedName(header.name));
}

function fittedName(name: string): string {
  return PLAIN.test(name) && name.length <= CEF_HEADER_MAX.name ? name : cutText(cefText(name), CEF_HEADER_MAX.name);
}

/** A value as it is written, within its key's size. */
export function fittedCefValue(
  value: string,
  key: CefKey,
  cutOrder: number | undefined,
  max: number = CEF_KEYS[key].max,
): string {
  if (max === 0 || value.length <= max) {
    if (PLAIN.test(value)) return value;
    if (PRINTABLE.test(value)) return escapePrintable(value);
  }
  return escapeCefValue(sizedText(value, key, cutOrder));
}

/** True for a line of at most CEF_LINE_MAX_BYTES. */
function fitsCefLine(line: string): boolean {
  return line.length * 3 <= CEF_LINE_MAX_BYTES || Buffer.byteLength(line) <= CEF_LINE_MAX_BYTES;
}

/** Header and pairs within the dictionary's sizes and `CEF_LINE_MAX_BYTES`. */
export function fittedCefLine(header: CefHeader, pairs: readonly CefPair[]): string {
  let line = cefHead(header);
  let separator = "";
  for (const pair of pairs) {
    const value = fittedCefValue(pair.value, pair.key, pair.cutOrder);
    if (value === "") continue;
    line += `${separator}${pair.key}=${value}`;
    if (pair.label !== undefined) line += ` ${pair.key}Label=${pair.label}`;
    separator = " ";
  }
  return fitsCefLine(line) ? line : shortenedCefLine({ ...header, name: fittedName(header.name) }, pairs);
}

/** The rare line that is too long: texts are truncated in their order until it fits. */
function shortenedCefLine(header: CefHeader, pairs: readonly CefPair[]): string {
  let kept = withFittingIdentifiers(
    header,
    pairs.map(withinSize).filter((pair) => pair.value !== ""),
  );
  let over = lineBytes(header, kept) - CEF_LINE_MAX_BYTES;
  for (const pair of kept.filter((p) => p.cutOrder !== undefined).toSorted((a, b) => a.cutOrder! - b.cutOrder!)) {
    if (over <= 0) break;
    const shorter = cutToBytes(pair.value, Math.max(0, escapedBytes(pair.value) - over));
    kept = kept.map((p) => (p === pair ? { ...p, value: shorter } : p)).filter((p) => p.value !== "");
    over = lineBytes(header, kept) - CEF_LINE_MAX_BYTES;
  }
  const name = over > 0 ? cutToBytes(header.name, Math.max(8, escapedBytes(header.name) - over)) : header.name;
  return cefLine({ ...header, name }, kept.flatMap(keyAndLabel));
}

/** Where identifiers alone do not fit, the hash stands for the longest of them: no real one is so long. */
function withFittingIdentifiers(header: CefHeader, pairs: readonly CefPair[]): readonly CefPair[] {
  let kept = pairs;
  const identifiers = pairs
    .filter(({ cutOrder }) => cutOrder === undefined)
    .toSorted((a, b) => escapedBytes(b.value) - escapedBytes(a.value));
  let bytes = lineBytes(header, identifiers);
  for (const pair of identifiers) {
    if (bytes <= CEF_LINE_MAX_BYTES) break;
    const value = cefIdentifier(pair.value, HASHED_LENGTH);
    bytes -= escapedBytes(pair.value) - escapedBytes(value);
    kept = kept.map((p) => (p === pair ? { ...p, value } : p));
  }
  return kept;
}

function withinSize(pair: CefPair): CefPair {
  return { ...pair, value: sizedText(pair.value, pair.key, pair.cutOrder) };
}

function sizedText(value: string, key: CefKey, cutOrder: number | undefined): string {
  const { max } = CEF_KEYS[key];
  const text = cefText(value);
  if (max === 0 || text.length <= max) return text;
  return cutOrder === undefined ? cefIdentifier(text, max) : cutText(text, max);
}

function keyAndLabel({ key, value, label }: CefPair): (readonly [string, string])[] {
  return label === undefined
    ? [[key, value]]
    : [
        [key, value],
        [`${key}Label`, label],
      ];
}

function lineBytes(header: CefHeader, pairs: readonly CefPair[]): number {
  return Buffer.byteLength(cefLine(header, pairs.flatMap(keyAndLabel)));
}

function escapedBytes(value: string): number {
  return Buffer.byteLength(escapeCefValue(value));
}

/**
 * The longest beginning whose escaped form, with `…`, has at most `max` bytes; empty when that would be a
 * mere stub.
 */
function cutToBytes(value: string, max: number): string {
  if (escapedBytes(value) <= max) return value;
  if (max < 8) return "";
  let bytes = 3;
  let length = 0;
  for (const character of value) {
    bytes += escapedBytes(character);
    if (bytes > max) break;
    length += character.length;
  }
  return length === 0 ? "" : `${value.slice(0, length).trimEnd()}…`;
}
