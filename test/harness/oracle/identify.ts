import type { CefEvent } from "./delivered.ts";
import { sevenDigits } from "./instant.ts";
import { type Member, memberDigest, type Scanned, scalar, scanObject, utf8 } from "./json-bytes.ts";
import type { Truth, TruthObject, Version } from "./truth.ts";

/** Which shown version an event is. */
export type Identity =
  | {
      readonly version: Version;
      readonly replay: boolean;
      readonly changed: boolean | undefined;
      readonly rowKey?: string;
    }
  /** It names an object or a version that was never shown. */
  | { readonly unknown: string }
  /** Nothing in it says which object it is. */
  | { readonly unidentified: string };

/**
 * Members that hold an object's id and its update time, by API. The names differ in one letter, and mistaking
 * them is a known fault of collectors.
 */
const DIALECTS: readonly {
  readonly id: string;
  readonly updated: string;
  readonly kind: string;
  readonly streams: readonly string[];
}[] = [
  { id: "alertId", updated: "lastUpdatedTime", kind: "alert", streams: ["xdr-incidents"] },
  { id: "id", updated: "lastUpdateDateTime", kind: "", streams: ["alerts", "incidents"] },
  { id: "id", updated: "lastUpdateTime", kind: "alert", streams: ["mde-alerts"] },
  { id: "incidentId", updated: "lastUpdateTime", kind: "incident", streams: ["xdr-incidents"] },
  { id: "FullId", updated: "LastProcessedTimeUtc", kind: "alert", streams: ["siem-alerts"] },
  { id: "AlertId", updated: "LastProcessedTimeUtc", kind: "alert", streams: ["siem-alerts"] },
];

/** A foreign collector may put the record into a member of its own. */
const WRAPPERS = ["event", "record", "result", "_raw", "message"];

const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

export interface IdentifyOptions {
  /** Members that the collector was told to add; they are left out before bytes are compared. */
  readonly addedMembers: ReadonlySet<string>;
}

/**
 * This program's envelope when the record carries one: the member `mssp`, or `mssp_` when the vendor has an
 * `mssp` of its own.
 */
function envelope(
  record: Scanned,
): { readonly member: Member; readonly key: string; readonly found: unknown } | undefined {
  for (const name of ["mssp_", "mssp"]) {
    for (const member of record.members) {
      if (member.name !== name || record.bytes[member.valueStart] !== 0x7b) continue;
      try {
        const value = JSON.parse(utf8(record.bytes, member.valueStart, member.valueEnd)) as {
          key?: unknown;
          found?: unknown;
        };
        if (typeof value.key === "string") return { member, key: value.key, found: value.found };
      } catch {
        // A vendor's member of the same name as this program's.
      }
    }
  }
  return undefined;
}

/** True for the collector's own report on a customer. */
export function isHealth(record: Scanned): boolean {
  const names = new Set(record.members.map((member) => member.name));
  return names.has("tenant_id") && names.has("streams") && names.has("version") && names.has("time");
}

export function identifyRecord(truth: Truth, record: Scanned, hints: string, options: IdentifyOptions): Identity {
  const ours = envelope(record);
  if (ours) return byKey(truth, record, ours, options);
  return (
    byMembers(truth, record, hints, options) ??
    unwrapped(truth, record, hints, options) ??
    rowOrNothing(truth, record, options)
  );
}

function byKey(
  truth: Truth,
  record: Scanned,
  ours: { readonly member: Member; readonly key: string; readonly found: unknown },
  options: IdentifyOptions,
): Identity {
  const without = new Set([ours.member]);
  const replay = ours.found === "replay";
  const version = truth.version(ours.key);
  if (version) return { version, replay, changed: isChanged(version, record, without, options) };
  // The simulator cannot know a saved query's name, so a row is found by its bytes or by the SHA-256 of them
  // that its key ends in.
  if (/^[^:]+:hunting:row:/.test(ours.key)) {
    const tenant = ours.key.slice(0, ours.key.indexOf(":"));
    const sha256 = /\/([0-9a-f]{64}):/.exec(ours.key)?.[1];
    const rows = [...truth.rowsOfContent(memberDigest(record, without)), ...(sha256 ? truth.rowsOfSha256(sha256) : [])];
    const row = rows.find((one) => one.object.tenantId === tenant);
    if (row) return { version: row, replay, changed: isChanged(row, record, without, options), rowKey: ours.key };
  }
  return { unknown: ours.key };
}

function byMembers(truth: Truth, record: Scanned, hints: string, options: IdentifyOptions): Identity | undefined {
  let named: string | undefined;
  for (const dialect of DIALECTS) {
    const id = scalar(record, dialect.id);
    const updated = scalar(record, dialect.updated);
    const instant = updated === undefined ? undefined : sevenDigits(updated);
    if (id === undefined || instant === undefined) continue;
    named ??= `${dialect.kind || "object"}:${id}:${instant}`;
    const objects = truth
      .objectsById(id)
      .filter((one) => dialect.streams.includes(one.stream) && (dialect.kind === "" || one.kind === dialect.kind));
    const versions = objects.flatMap((one) => one.versions.filter((version) => version.instant === instant));
    const version = likeliest(truth, versions, record, hints, options);
    if (version) return { version, replay: false, changed: isChanged(version, record, new Set(), options) };
  }
  return named === undefined ? undefined : { unknown: named };
}

/**
 * Two customers may hold an object of one id and time (a provider's own test alert, for instance). The tenant
 * that the event names decides, then its bytes, then which of them has not arrived yet.
 */
function likeliest(
  truth: Truth,
  versions: readonly Version[],
  record: Scanned,
  hints: string,
  options: IdentifyOptions,
): Version | undefined {
  if (versions.length <= 1) return versions[0];
  const payloadTenant = scalar(record, "tenantId") ?? scalar(record, "aadTenantId") ?? "";
  const named = new Set(
    (`${hints} ${payloadTenant}`.match(GUID) ?? [])
      .map((guid) => guid.toLowerCase())
      .filter((guid) => truth.tenants.has(guid)),
  );
  const score = (version: Version): number =>
    (named.has(version.object.tenantId) ? 4 : 0) +
    (isChanged(version, record, new Set(), options) ? 0 : 2) +
    (version.deliveries === 0 ? 1 : 0);
  return versions.toSorted((a, b) => score(b) - score(a))[0];
}

function unwrapped(truth: Truth, record: Scanned, hints: string, options: IdentifyOptions): Identity | undefined {
  for (const name of WRAPPERS) {
    const member = record.members.find((one) => one.name === name);
    if (!member) continue;
    const first = record.bytes[member.valueStart];
    let inner: Scanned | undefined;
    if (first === 0x7b) inner = scanObject(record.bytes, member.valueStart, member.valueEnd);
    else if (first === 0x22) {
      const text = scalar(record, name);
      if (text?.startsWith("{")) inner = scanObject(Buffer.from(text));
    }
    const outer = inner && Buffer.from(record.bytes).toString("latin1", 0, member.valueStart);
    const identity = inner && (byMembers(truth, inner, `${hints} ${outer}`, options) ?? rowOf(truth, inner, options));
    if (identity) return identity;
  }
  return undefined;
}

function rowOf(truth: Truth, record: Scanned, options: IdentifyOptions): Identity | undefined {
  const rows = truth.rowsOfContent(memberDigest(record, added(record, options)));
  const version = rows.find((row) => row.deliveries === 0) ?? rows[0];
  return version && { version, replay: false, changed: false };
}

function rowOrNothing(truth: Truth, record: Scanned, options: IdentifyOptions): Identity {
  return rowOf(truth, record, options) ?? { unidentified: utf8(record.bytes, 0, Math.min(record.bytes.length, 120)) };
}

function added(record: Scanned, options: IdentifyOptions): Set<Member> {
  return new Set(
    options.addedMembers.size === 0 ? [] : record.members.filter((member) => options.addedMembers.has(member.name)),
  );
}

/** Undefined when the truth does not hold the record. */
function isChanged(
  version: Version,
  record: Scanned,
  without: ReadonlySet<Member>,
  options: IdentifyOptions,
): boolean | undefined {
  if (version.digests.size === 0) return undefined;
  if (version.digests.has(memberDigest(record, without))) return false;
  if (options.addedMembers.size === 0) return true;
  return !version.digests.has(memberDigest(record, new Set([...without, ...added(record, options)])));
}

/** CEF names no stream and only milliseconds: among the versions that fit, the first that has not arrived. */
export function identifyCef(truth: Truth, event: CefEvent): Identity {
  const say = `${event.classId} externalId=${event.externalId ?? "-"} deviceCustomDate1=${event.updatedMs ?? "-"} deviceExternalId=${event.tenantId ?? "-"}`;
  if (event.externalId === undefined || event.updatedMs === undefined) return { unidentified: say };
  const kind = event.classId.startsWith("incident") ? "incident" : "alert";
  const objects: readonly TruthObject[] = truth.objectsById(event.externalId);
  const versions = objects
    .filter((one) => one.kind === kind && (event.tenantId === undefined || one.tenantId === event.tenantId))
    .flatMap((one) => one.versions.filter((version) => Date.parse(version.instant) === event.updatedMs));
  const version = versions.find((one) => one.deliveries === 0) ?? versions[0];
  return version ? { version, replay: event.replay, changed: undefined } : { unknown: say };
}
