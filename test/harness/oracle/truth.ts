import { createHash } from "node:crypto";
import { sevenDigits } from "./instant.ts";
import {
  type Member,
  memberDigest,
  type Scanned,
  scalar,
  scanArray,
  scanObject,
  utf8,
  validUtf8,
} from "./json-bytes.ts";
import { eachLine } from "./lines.ts";

/** One version of an object that Microsoft's side showed. */
export interface Version {
  /** `<tenant GUID>:<stream>:<kind>:<object id>:<instant with seven digits>`, as in the delivery promise. */
  readonly key: string;
  readonly object: TruthObject;
  /** Seven fraction digits, UTC: text order is time order. */
  readonly instant: string;
  shownAtMs: number | undefined;
  /**
   * Digests of the contents it was shown with; several when the same instant was shown with different bytes.
   */
  readonly digests: Set<string>;
  /** A nested alert that the parent brings along: it may be delivered alone but need not be. */
  optional: boolean;
  /** Filled in by the judge. */
  deliveries: number;
  lagMs: number | undefined;
}

export interface TruthObject {
  readonly tenantId: string;
  readonly stream: string;
  readonly kind: string;
  readonly id: string;
  readonly versions: Version[];
  /** Filled in by the judge: the newest instant delivered so far. */
  newestDelivered: string | undefined;
}

class TruthError extends Error {
  override name = "TruthError";
}

/** Everything that was shown, with the ways by which a delivered event finds its version. */
export class Truth {
  private readonly byKey = new Map<string, Version>();
  private readonly byObject = new Map<string, TruthObject>();
  private readonly byId = new Map<string, TruthObject[]>();
  private readonly byIdHash = new Map<string, TruthObject[]>();
  private readonly rowsByDigest = new Map<string, Version[]>();
  private readonly rowsBySha256 = new Map<string, Version[]>();
  readonly tenants = new Set<string>();
  /**
   * Lines about records that carry no id or no update time: nobody can key them, so they are counted and not
   * judged.
   */
  unkeyed = 0;
  /** True when some line carried its record, so that bytes can be compared. */
  hasRecords = false;

  get objects(): Iterable<TruthObject> {
    return this.byObject.values();
  }

  version(key: string): Version | undefined {
    return this.byKey.get(key);
  }

  /**
   * Objects of this id over all tenants and streams. An id that was too long for its field is found by the 32
   * hex digits of its SHA-256.
   */
  objectsById(id: string): readonly TruthObject[] {
    const direct = this.byId.get(id);
    if (direct) return direct;
    const hex = /[0-9a-f]{32}$/i.exec(id)?.[0].toLowerCase();
    return (hex && this.byIdHash.get(hex)) || [];
  }

  rowsOfContent(digest: string): readonly Version[] {
    return this.rowsByDigest.get(digest) ?? [];
  }

  rowsOfSha256(hex: string): readonly Version[] {
    return this.rowsBySha256.get(hex) ?? [];
  }

  /**
   * Takes one line `{"tenant_id","stream","kind","id","updated","shown_at","record"}`; `record` is the JSON
   * itself, byte for byte, or that JSON as a string.
   */
  take(line: Uint8Array, lineNumber: number): void {
    const bad = (why: string): never => {
      throw new TruthError(`truth line ${lineNumber}: ${why}`);
    };
    const scanned = scanObject(line);
    if (!scanned) throw new TruthError(`truth line ${lineNumber}: is not a JSON object`);
    const tenantId = scalar(scanned, "tenant_id")?.toLowerCase() ?? bad("has no tenant_id");
    const stream = scalar(scanned, "stream") ?? bad("has no stream");
    const kind = scalar(scanned, "kind") ?? bad("has no kind");
    const record = recordBytes(scanned);
    const body = record && scanObject(record);
    const id = scalar(scanned, "id");
    const updated = scalar(scanned, "updated");
    const shownAt = scalar(scanned, "shown_at");
    const shownAtMs = shownAt === undefined ? undefined : Date.parse(shownAt);
    if (shownAtMs !== undefined && Number.isNaN(shownAtMs)) bad(`shown_at "${shownAt}" is not a time`);
    this.tenants.add(tenantId);
    if (id === undefined || updated === undefined) {
      this.unkeyed++;
      return;
    }
    const instant = sevenDigits(updated) ?? bad(`updated "${updated}" is not an instant`);

    const version = this.add({ tenantId, stream, kind, id, instant, shownAtMs, optional: false });
    if (!body) return;
    this.note(version, body, record);
    if (kind === "incident") this.takeNested(version, body, stream, shownAtMs);
  }

  private takeNested(parent: Version, body: Scanned, stream: string, shownAtMs: number | undefined): void {
    const alerts = body.members.find((member) => member.name === "alerts");
    const elements = alerts && scanArray(body.bytes, alerts.valueStart, alerts.valueEnd);
    if (!alerts || !elements) return;
    // A collector may send an incident's alerts as events of their own and the incident without them.
    this.noteDigests(parent, body, new Set([alerts]));
    for (const element of elements) {
      const alert = scanObject(body.bytes, element.start, element.end);
      const id = alert && (scalar(alert, "alertId") ?? scalar(alert, "id"));
      const updated =
        alert &&
        (scalar(alert, "lastUpdatedTime") ?? scalar(alert, "lastUpdateDateTime") ?? scalar(alert, "lastUpdateTime"));
      const instant = updated === undefined ? undefined : sevenDigits(updated);
      if (!alert || id === undefined || instant === undefined) continue;
      // Only the XDR stream promises an event per nested alert; elsewhere it stays inside unless the record
      // is too large.
      const optional = stream !== "xdr-incidents";
      this.noteDigests(
        this.add({ tenantId: parent.object.tenantId, stream, kind: "alert", id, instant, shownAtMs, optional }),
        alert,
      );
    }
  }

  private add(seen: {
    tenantId: string;
    stream: string;
    kind: string;
    id: string;
    instant: string;
    shownAtMs: number | undefined;
    optional: boolean;
  }): Version {
    const objectKey = `${seen.tenantId}:${seen.stream}:${seen.kind}:${seen.id}`;
    const key = `${objectKey}:${seen.instant}`;
    const known = this.byKey.get(key);
    if (known) {
      if (!seen.optional) known.optional = false;
      if (known.shownAtMs === undefined || (seen.shownAtMs !== undefined && seen.shownAtMs < known.shownAtMs))
        known.shownAtMs = seen.shownAtMs;
      return known;
    }
    let object = this.byObject.get(objectKey);
    if (!object) {
      object = {
        tenantId: seen.tenantId,
        stream: seen.stream,
        kind: seen.kind,
        id: seen.id,
        versions: [],
        newestDelivered: undefined,
      };
      this.byObject.set(objectKey, object);
      addTo(this.byId, seen.id, object);
      if (seen.id.length > 40)
        addTo(this.byIdHash, createHash("sha256").update(seen.id).digest("hex").slice(0, 32), object);
    }
    const version: Version = {
      key,
      object,
      instant: seen.instant,
      shownAtMs: seen.shownAtMs,
      digests: new Set(),
      optional: seen.optional,
      deliveries: 0,
      lagMs: undefined,
    };
    object.versions.push(version);
    this.byKey.set(key, version);
    return version;
  }

  private note(version: Version, body: Scanned, record: Uint8Array): void {
    const [digest] = this.noteDigests(version, body);
    if (version.object.kind !== "row") return;
    addTo(this.rowsByDigest, digest as string, version);
    addTo(this.rowsBySha256, createHash("sha256").update(record).digest("hex"), version);
  }

  private noteDigests(version: Version, body: Scanned, without?: ReadonlySet<Member>): string[] {
    const digests = [memberDigest(body, without)];
    if (!body.plain) digests.push(memberDigest(body, without, "upper"));
    this.hasRecords = true;
    for (const digest of digests) version.digests.add(digest);
    return digests;
  }
}

function recordBytes(line: Scanned): Uint8Array | undefined {
  const member = line.members.find((one) => one.name === "record");
  if (!member) return undefined;
  const raw = line.bytes.subarray(member.valueStart, member.valueEnd);
  if (raw[0] === 0x22) return Buffer.from(JSON.parse(utf8(line.bytes, member.valueStart, member.valueEnd)) as string);
  return validUtf8(raw);
}

function addTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

export async function readTruth(chunks: AsyncIterable<Uint8Array>): Promise<Truth> {
  const truth = new Truth();
  let lineNumber = 0;
  await eachLine(chunks, (line) => truth.take(line.bytes, ++lineNumber));
  for (const object of truth.objects) object.versions.sort((a, b) => (a.instant < b.instant ? -1 : 1));
  return truth;
}
