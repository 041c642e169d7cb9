import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Delivery, Found } from "../../model/event.ts";
import { versionKey } from "../../model/event.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { Ticks } from "../../model/instant.ts";
import { TICKS_PER_MS, ticksFromMs } from "../../model/instant.ts";
import type { Clock, Log, Sink, SourceStream } from "../../model/ports.ts";
import type { PageRecord, RecordBody, RecordHead, SourceRecord, UnreadableRecord } from "../../model/record.ts";
import type { LedgerEntry, StreamStore, TempFile } from "../../model/state.ts";
import type { Tenant } from "../../model/tenant.ts";
import type { Budget } from "../budget.ts";
import { stopped } from "../failures.ts";
import { ledgerSpanMs } from "../list/lookback.ts";
import type { HugeRecord, PageTally } from "../list/page-tally.ts";
import type { Seen } from "../list/walk.ts";
import type { CustomerReport, StreamReport } from "../report.ts";
import { ReportOnce } from "../report-once.ts";
import type { HeldVersion, ObjectHash } from "./ledger.ts";
import { Ledger, objectHash } from "./ledger.ts";
import type { Provisional } from "./provisional.ts";
import { PROVISIONAL_FOR_MS, ProvisionalOwner } from "./provisional.ts";
import { journal, rollback } from "./rollback.ts";

/** What an event takes beyond the record's own bytes, for the provisional window's account. */
export const EVENT_OVERHEAD_BYTES = 512;
/**
 * An alert taken out of an incident is met again as long as the incident changes, however old the alert: it
 * is remembered since it was last met.
 */
const NESTED_REMEMBERED_MS = 30 * 24 * 3_600_000;
/** Journalled once a day at most. */
const TOUCHED_EVERY_S = 24 * 3_600;
/**
 * A version met again counts as written so long ago that nobody takes it for one that may not have arrived.
 */
const MET_LONG_AGO_S = (2 * PROVISIONAL_FOR_MS) / 1000;
const JOURNAL_SLACK = 1_024;
/** With the overhead it fits into the ledger's 32 bits. */
const LEDGER_MOST_BYTES = 0x7fff_ffff - EVENT_OVERHEAD_BYTES;

/** What one walk was for. */
export interface WalkPass {
  readonly found: Exclude<Found, "replay">;
  /** Sweeps: a version at or after this instant is one that a poll would have found too. */
  readonly lateBefore?: Ticks;
  /** Keep the walk's progress so that it can go on after a failure or a stop. */
  readonly keepsProgress: boolean;
}

export interface DeliveryParts {
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly settings: { readonly overlapMinutes: number; readonly sweepHours: number };
  readonly source: SourceStream;
  readonly store: StreamStore;
  readonly openTempFile: () => Promise<TempFile>;
  readonly sink: Sink;
  readonly budget: Budget;
  readonly provisional: Provisional;
  readonly report: StreamReport;
  readonly customer: CustomerReport;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Carries the records of one stream from page to sink: the ledger says which versions go out and as what;
 * journal, provisional window and counts follow.
 */
export class StreamDelivery {
  readonly #p: DeliveryParts;
  /** The stream's checkpoint, below which an object that the ledger does not know is no new one. */
  readonly #upTo: () => Ticks | undefined;
  readonly #ledger = new Ledger();
  readonly owner = new ProvisionalOwner();
  #journalEntries = 0;
  #reportedTenantMismatch = false;
  readonly #quarantined = new ReportOnce();
  #wroteSinceSave = false;

  constructor(parts: DeliveryParts, upTo: () => Ticks | undefined) {
    this.#p = parts;
    this.#upTo = upTo;
    for (const entry of parts.store.takeEntries()) {
      this.#ledger.put(entry);
      parts.provisional.sawWritten(entry.writtenAtS);
      this.#journalEntries += 1;
    }
  }

  /** Something went out since the checkpoint was saved last. */
  get wroteSinceSave(): boolean {
    return this.#wroteSinceSave;
  }

  checkpointSaved(): void {
    this.#wroteSinceSave = false;
  }

  /** False when the ledger holds another version by now. */
  askForReplay(hash: ObjectHash, updated: Ticks): boolean {
    return this.#ledger.askForReplay(hash, updated);
  }

  /**
   * After a complete walk: what was to be sent again but is not there any more was covered by a newer
   * version, or is gone from Microsoft.
   */
  endReplay(): void {
    const dropped = this.#ledger.dropReplays();
    if (dropped > 0) this.#p.report.count("superseded", dropped);
  }

  /**
   * Sends what is fresh of a batch and shows all of it to `seen`.
   * @param askedFrom where the page's question began.
   */
  async deliver(
    batch: readonly PageRecord[],
    facts: PageTally,
    seen: Seen,
    pass: WalkPass,
    askedFrom: Ticks | undefined,
  ): Promise<void> {
    const { store, sink, provisional } = this.#p;
    const deliveries: Delivery[] = [];
    const entries: LedgerEntry[] = [];
    const before: (HeldVersion | undefined)[] = [];
    const touched: ObjectHash[] = [];
    const nowS = provisional.writtenNowS();
    for (const record of batch) {
      if (!record.readable) {
        // Its place in the list counts like any other's, or a page full of such records would look like the
        // end.
        if (record.updated === undefined) facts.untimed += 1;
        else {
          facts.meet(record.updated);
          seen.meet(record.id ?? record.sha256, record.updated);
        }
        if (record.reason === "too-large" && this.#canPassHuge(record)) facts.huge.push(record);
        else await this.#quarantine(record);
        continue;
      }
      if (!record.nested) {
        facts.meet(record.updated);
        seen.meet(record.id, record.updated);
      }
      this.#checkTenant(record);
      const hash = objectHash(record.kind, record.id);
      const judged = this.#judge(record, hash, pass);
      if (!judged) {
        if (record.nested && this.#ledger.touch(hash, nowS - MET_LONG_AGO_S, TOUCHED_EVERY_S)) touched.push(hash);
        continue;
      }
      const delivery: Delivery = { ...judged, record };
      const entry: LedgerEntry = {
        hash,
        updated: record.updated,
        writtenAtS: nowS,
        byteLength: record.body.end - record.body.start + EVENT_OVERHEAD_BYTES,
        bodyCrc: crcOf(record.body),
        change: delivery.change,
      };
      before.push(this.#ledger.get(hash));
      this.#ledger.put(entry);
      deliveries.push(delivery);
      entries.push(entry);
    }
    if (deliveries.length === 0) {
      this.#journalTouched(touched);
      return;
    }
    // A pipe: the journal first, since what was written but not journalled could not be told from a new
    // version after a crash; everything provisional is sent again then. A file renamed into place is not sent
    // again, so there the journal must never be ahead of it.
    const journalFirst = sink.kind === "provisional";
    if (journalFirst) {
      journal(store, this.#ledger, entries, before);
      entries.forEach((entry, i) => {
        const nested = deliveries[i]!.record.nested === true;
        const askFrom =
          (nested || pass.found === "sweep") && askedFrom !== undefined && askedFrom < entry.updated
            ? askedFrom
            : entry.updated;
        provisional.add(this.owner, {
          hash: entry.hash,
          updated: entry.updated,
          askFrom,
          byteLength: entry.byteLength,
        });
      });
    }
    try {
      await sink.write(deliveries);
    } catch (error) {
      if (!(isFailure(error) && error.code === "host-gone")) await this.#rollback(entries, before);
      throw error;
    }
    if (!journalFirst) store.append(entries);
    this.#journalEntries += entries.length;
    this.#wroteSinceSave = true;
    for (const delivery of deliveries) this.#countDelivered(delivery);
    this.#journalTouched(touched);
  }

  /**
   * A restart must know as well that they were met. Last of all: that the disk is full must not keep what was
   * sent out of the journal, nor what was not sent in memory.
   */
  #journalTouched(hashes: readonly ObjectHash[]): void {
    if (hashes.length === 0) return;
    const entries = hashes.map((hash) => this.#ledger.get(hash)).filter((entry) => entry !== undefined);
    this.#p.store.append(entries);
    this.#journalEntries += entries.length;
  }

  #canPassHuge(record: UnreadableRecord): record is HugeRecord {
    return (
      record.id !== undefined &&
      record.updated !== undefined &&
      this.#p.source.fetchHuge !== undefined &&
      this.#p.sink.writeHuge !== undefined
    );
  }

  /**
   * A record too large for memory: fetched alone to a file, then passed on in pieces. By way of a file
   * because an event that has begun cannot be taken back when the answer breaks off, and because a slow
   * answer must not hold the sink against other customers.
   */
  async deliverHuge(record: HugeRecord, pass: WalkPass, stop: AbortSignal): Promise<void> {
    const { source, sink, tenant, store, provisional, budget } = this.#p;
    const tempFile = await this.#p.openTempFile();
    try {
      if (!(await budget.take(stop))) throw stopped();
      this.#p.report.count("requests");
      const digest = createHash("sha256");
      const keep = (bytes: Uint8Array) => {
        digest.update(bytes);
        return tempFile.append(bytes);
      };
      const head = await source.fetchHuge?.(record, keep, stop);
      if (!head || !sink.writeHuge) return await this.#quarantine(record);
      const hash = objectHash(head.kind, head.id);
      const bodyCrc = digest.digest().readInt32LE(0);
      const judged = this.#judge(head, hash, pass, bodyCrc);
      if (!judged) return;
      const entry: LedgerEntry = {
        hash,
        updated: head.updated,
        writtenAtS: provisional.writtenNowS(),
        byteLength:
          Math.min(tempFile.byteLength, sink.hugeMostBytes ?? LEDGER_MOST_BYTES, LEDGER_MOST_BYTES) +
          EVENT_OVERHEAD_BYTES,
        bodyCrc,
        change: judged.change,
      };
      const before = this.#ledger.get(hash);
      this.#ledger.put(entry);
      const journalFirst = sink.kind === "provisional";
      if (journalFirst) {
        journal(store, this.#ledger, [entry], [before]);
        provisional.add(this.owner, {
          hash,
          updated: entry.updated,
          askFrom: entry.updated,
          byteLength: entry.byteLength,
        });
      }
      try {
        const { stanza, stream, change, found, key } = judged;
        await sink.writeHuge({ stanza, tenant, stream, change, found, key, record: head }, tempFile.pieces());
      } catch (error) {
        if (!(isFailure(error) && error.code === "host-gone")) await this.#rollback([entry], [before]);
        throw error;
      }
      if (!journalFirst) store.append([entry]);
      this.#journalEntries += 1;
      this.#wroteSinceSave = true;
      this.#countDelivered(judged);
      await store.flush();
    } finally {
      await tempFile.dispose();
    }
  }

  #countDelivered(delivery: Pick<Delivery, "found" | "change">): void {
    if (delivery.found === "replay") this.#p.report.count("replayed");
    else {
      this.#p.report.count(delivery.change);
      if (delivery.found === "sweep") this.#p.report.count("swept");
    }
  }

  /**
   * Whether the version is to be sent, and as what.
   * @param bodyCrc of a record whose bytes are not at hand.
   */
  #judge(
    record: RecordHead & { readonly nested?: true; readonly body?: RecordBody },
    hash: ObjectHash,
    pass: WalkPass,
    bodyCrc = 0,
  ): Omit<Delivery, "record"> | undefined {
    const { report, log, tenant, stanza, source } = this.#p;
    const verdict = this.#ledger.judge(hash, record.updated, () => (record.body ? crcOf(record.body) : bodyCrc));
    let change: Delivery["change"] = "updated";
    let found: Found =
      pass.found === "sweep" && pass.lateBefore !== undefined && record.updated < pass.lateBefore ? "sweep" : "poll";
    switch (verdict.is) {
      case "sent":
        return undefined;
      case "sent-with-other-bytes":
        log.warn("a version came again with other content and was not sent", {
          tenant: tenant.name,
          stream: source.name,
          id: record.id,
        });
        return undefined;
      case "superseded":
        report.count("superseded");
        return undefined;
      case "unknown":
        change = this.#isNew(record) ? "new" : "updated";
        break;
      case "newer":
        if (verdict.unsent) report.count("superseded");
        break;
      case "replay":
        change = verdict.change;
        found = "replay";
        break;
    }
    return {
      stanza,
      tenant,
      stream: source.name,
      change,
      found,
      key: versionKey(tenant.id, source.name, record.kind, record.id, record.updated),
    };
  }

  #isNew(record: RecordHead): boolean {
    const upTo = this.#upTo();
    if (upTo === undefined || record.created === undefined) return true;
    return record.created > upTo - ticksFromMs(ledgerSpanMs(this.#p.settings));
  }

  async #rollback(entries: readonly LedgerEntry[], before: readonly (HeldVersion | undefined)[]): Promise<void> {
    await rollback(this.#p.store, this.#ledger, entries, before, () =>
      this.#p.provisional.inWrittenOrder(this.owner, this.#ledger),
    );
    this.#journalEntries = this.#ledger.size;
  }

  /** ReportOnce once for each content, since every poll in whose lookback it lies meets it. */
  async #quarantine(record: UnreadableRecord): Promise<void> {
    if (!this.#quarantined.reportOnce(record.sha256)) return;
    const { source, customer, report } = this.#p;
    const named = record.id === undefined ? "without a readable id" : `with id ${record.id}`;
    await customer.incident(
      report,
      new Failure("record-quarantined", {
        actor: record.reason === "too-large" ? "operator" : "microsoft",
        retry: { when: "never" },
        say: `A record of ${source.name} ${named} could not be delivered (${record.reason}): ${record.byteLength} bytes, SHA-256 ${record.sha256}.`,
        nextStep:
          record.reason === "too-large"
            ? "Raise record_max_mib above the record's size."
            : "Report the id and the hash to Microsoft if the alert matters.",
      }),
    );
  }

  #checkTenant(record: SourceRecord): void {
    const { tenant, customer, report, source } = this.#p;
    if (record.payloadTenantId === undefined || record.payloadTenantId === tenant.id || this.#reportedTenantMismatch)
      return;
    this.#reportedTenantMismatch = true;
    void customer.incident(
      report,
      new Failure("tenant-mismatch", {
        actor: "operator",
        retry: { when: "never" },
        say: `Records of ${source.name} carry tenant ${record.payloadTenantId}, but this customer is configured as ${tenant.id}; they are delivered under the configured one.`,
        nextStep: "Check tenant_id of this customer.",
      }),
    );
  }

  /**
   * Forgets what lies behind the ledger's span before `askedAgainFrom`, and rewrites the journal when most of
   * it is history.
   */
  async tidy(askedAgainFrom: Ticks | undefined): Promise<void> {
    if (askedAgainFrom === undefined) return;
    if (this.#journalEntries < 2 * this.#ledger.size + JOURNAL_SLACK && this.#ledger.size < JOURNAL_SLACK) return;
    const { settings, provisional, store } = this.#p;
    const nestedBeforeS = provisional.writtenNowS() - NESTED_REMEMBERED_MS / 1000;
    const hasNested = this.#p.source.hasNested === true;
    const oldest = askedAgainFrom - BigInt(ledgerSpanMs(settings)) * TICKS_PER_MS;
    const pruned = hasNested ? this.#ledger.prune(oldest, nestedBeforeS) : this.#ledger.prune(oldest);
    if (this.#journalEntries >= 2 * this.#ledger.size + JOURNAL_SLACK) {
      await store.compact(provisional.inWrittenOrder(this.owner, this.#ledger));
      this.#journalEntries = this.#ledger.size;
      this.#p.log.debug("journal compacted", {
        tenant: this.#p.tenant.name,
        stream: this.#p.source.name,
        pruned,
        kept: this.#ledger.size,
      });
    }
  }
}

function crcOf(body: RecordBody): number {
  const { bytes, start, end } = body;
  return crc32(bytes.subarray(start, end));
}
