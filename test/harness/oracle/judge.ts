import type { Delivered } from "./delivered.ts";
import { type IdentifyOptions, type Identity, identifyCef, identifyRecord, isHealth } from "./identify.ts";
import { scanObject } from "./json-bytes.ts";
import type { Truth, TruthObject, Version } from "./truth.ts";

/** The verdict on one customer's stream. `shown` = `delivered` + `lost` + `superseded`. */
export interface Verdict {
  readonly tenant_id: string;
  readonly stream: string;
  /** Versions shown. */
  shown: number;
  /** Of these, versions that arrived at least once. */
  delivered: number;
  /** Versions that never arrived and that no newer version of their object covers. */
  lost: number;
  /**
   * Objects that arrived, but not in their newest version. (An object that never arrived is lost, not stale.)
   */
  stale: number;
  /** Versions that never arrived while a newer one of their object did. */
  superseded: number;
  /** Events that repeat a version and do not say that they are a replay. */
  duplicated: number;
  /** Events that repeat a version and say `found: replay`. */
  replayed: number;
  /** Events older than one of their object that came before; repeats are not counted again here. */
  out_of_order: number;
  /**
   * Events with a member that is not what was shown, byte for byte; null where the format cannot tell (CEF).
   */
  changed_bytes: number | null;
  /** 99th percentile of arrival minus shown_at; null when arrivals are not known. */
  lag_ms_p99: number | null;
}

export const FAULTS = [
  "lost",
  "stale",
  "duplicated",
  "out_of_order",
  "changed_bytes",
  "unknown",
  "unidentified",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Totals extends Omit<Verdict, "tenant_id" | "stream"> {
  /** Events about an object or version that was never shown. */
  unknown: number;
  /** Events in which nothing says what they are about, and bytes that are not an event. */
  unidentified: number;
  /** Half events at the end of a run that was killed; ignored otherwise. */
  torn: number;
  /** The collector's own reports; not judged. */
  health: number;
  /** CEF lines about one piece of evidence; not judged. */
  evidence: number;
  /** Shown records that carry no id or time; not judged. */
  unkeyed: number;
}

export interface Judgement {
  readonly customers: readonly Verdict[];
  readonly totals: Totals;
  /** The first few of each fault, to look at. */
  readonly examples: readonly { readonly fault: Fault; readonly what: string }[];
}

export interface JudgeOptions extends IdentifyOptions {
  readonly format: "splunk" | "jsonl" | "cef";
  /** How many examples of each fault are kept. */
  readonly examples: number;
  /** Milliseconds since 1970 when the bytes up to an offset had arrived, if that is known. */
  readonly arrivedAtMs?: (endOffset: number) => number | undefined;
}

/** Takes events in the order of delivery; `verdict` may be called once, at the end. */
export class Judge {
  private readonly verdicts = new Map<string, Verdict>();
  private readonly lags = new Map<string, number[]>();
  private readonly seen = { unknown: 0, unidentified: 0, torn: 0, health: 0, evidence: 0 };
  private readonly examples: { fault: Fault; what: string }[] = [];
  private readonly exampleCounts = new Map<Fault, number>();
  private readonly rowKeys = new Set<string>();
  private readonly truth: Truth;
  private readonly options: JudgeOptions;

  constructor(truth: Truth, options: JudgeOptions) {
    this.truth = truth;
    this.options = options;
  }

  take(event: Delivered): void {
    switch (event.kind) {
      case "torn":
      case "health":
      case "evidence":
        this.seen[event.kind]++;
        return;
      case "unreadable":
        this.seen.unidentified++;
        this.example("unidentified", event.say);
        return;
      case "cef":
        this.judge(identifyCef(this.truth, event.event), event.endOffset);
        return;
      case "record": {
        const record = scanObject(event.bytes);
        if (record && isHealth(record)) this.seen.health++;
        else if (record)
          this.judge(identifyRecord(this.truth, record, event.hints ?? "", this.options), event.endOffset);
        else {
          this.seen.unidentified++;
          this.example("unidentified", Buffer.from(event.bytes.subarray(0, 120)).toString("utf8"));
        }
      }
    }
  }

  private judge(identity: Identity, endOffset: number): void {
    if ("unknown" in identity) {
      this.seen.unknown++;
      this.example("unknown", identity.unknown);
      return;
    }
    if ("unidentified" in identity) {
      this.seen.unidentified++;
      this.example("unidentified", identity.unidentified);
      return;
    }
    const { version, replay, changed, rowKey } = identity;
    const { object } = version;
    const verdict = this.verdictOf(object);
    if (changed) {
      verdict.changed_bytes = (verdict.changed_bytes ?? 0) + 1;
      this.example("changed_bytes", version.key);
    }
    version.deliveries++;
    // Several saved queries may find one row: each sends it once, under a key of its own.
    const isRepeat = rowKey === undefined ? version.deliveries > 1 : this.rowKeys.has(rowKey);
    if (rowKey !== undefined) this.rowKeys.add(rowKey);
    if (isRepeat) {
      if (replay) verdict.replayed++;
      else {
        verdict.duplicated++;
        this.example("duplicated", version.key);
      }
    } else if (
      version.deliveries === 1 &&
      object.newestDelivered !== undefined &&
      version.instant < object.newestDelivered
    ) {
      verdict.out_of_order++;
      this.example("out_of_order", version.key);
    }
    if (object.newestDelivered === undefined || version.instant > object.newestDelivered)
      object.newestDelivered = version.instant;
    const arrivedAtMs = version.deliveries === 1 ? this.options.arrivedAtMs?.(endOffset) : undefined;
    if (arrivedAtMs !== undefined && version.shownAtMs !== undefined)
      this.lagsOf(object).push(Math.max(0, arrivedAtMs - version.shownAtMs));
  }

  verdict(): Judgement {
    for (const object of this.truth.objects) this.settle(object);
    const judgesBytes = this.options.format !== "cef" && this.truth.hasRecords;
    const customers = [...this.verdicts.values()].sort((a, b) =>
      a.tenant_id + a.stream < b.tenant_id + b.stream ? -1 : 1,
    );
    const totals: Totals = { ...emptyCounts(), ...this.seen, unkeyed: this.truth.unkeyed };
    const allLags: number[] = [];
    for (const verdict of customers) {
      const lags = this.lags.get(`${verdict.tenant_id}:${verdict.stream}`) ?? [];
      verdict.lag_ms_p99 = percentile99(lags);
      if (!judgesBytes) verdict.changed_bytes = null;
      for (const lag of lags) allLags.push(lag);
      for (const count of COUNTS) totals[count] += verdict[count];
      totals.changed_bytes = (totals.changed_bytes ?? 0) + (verdict.changed_bytes ?? 0);
    }
    totals.lag_ms_p99 = percentile99(allLags);
    if (!judgesBytes) totals.changed_bytes = null;
    return { customers, totals, examples: this.examples };
  }

  /** Newest first, so that one look says whether something newer arrived. */
  private settle(object: TruthObject): void {
    const verdict = this.verdictOf(object);
    let newest: Version | undefined;
    for (const version of object.versions.toReversed()) {
      if (version.optional && version.deliveries === 0) continue;
      newest ??= version;
      verdict.shown++;
      if (version.deliveries > 0) verdict.delivered++;
      else if (object.newestDelivered !== undefined && object.newestDelivered > version.instant) verdict.superseded++;
      else {
        verdict.lost++;
        this.example("lost", version.key);
      }
    }
    if (newest && newest.deliveries === 0 && object.newestDelivered !== undefined) {
      verdict.stale++;
      this.example("stale", newest.key);
    }
  }

  private verdictOf(object: TruthObject): Verdict {
    const name = `${object.tenantId}:${object.stream}`;
    let verdict = this.verdicts.get(name);
    if (!verdict) {
      verdict = { tenant_id: object.tenantId, stream: object.stream, ...emptyCounts() };
      this.verdicts.set(name, verdict);
    }
    return verdict;
  }

  private lagsOf(object: TruthObject): number[] {
    const name = `${object.tenantId}:${object.stream}`;
    let lags = this.lags.get(name);
    if (!lags) {
      lags = [];
      this.lags.set(name, lags);
    }
    return lags;
  }

  private example(fault: Fault, what: string): void {
    const count = (this.exampleCounts.get(fault) ?? 0) + 1;
    this.exampleCounts.set(fault, count);
    if (count <= this.options.examples) this.examples.push({ fault, what });
  }
}

const COUNTS = ["shown", "delivered", "lost", "stale", "superseded", "duplicated", "replayed", "out_of_order"] as const;

function emptyCounts(): Omit<Verdict, "tenant_id" | "stream"> {
  return {
    shown: 0,
    delivered: 0,
    lost: 0,
    stale: 0,
    superseded: 0,
    duplicated: 0,
    replayed: 0,
    out_of_order: 0,
    changed_bytes: 0,
    lag_ms_p99: null,
  };
}

/** Nearest rank; null of nothing. */
function percentile99(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? null;
}
