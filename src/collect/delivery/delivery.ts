import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Delivery, Found } from "../../model/event.ts";
import { versionKey } from "../../model/event.ts";
import { Failure } from "../../model/failure.ts";
import type { Ticks } from "../../model/instant.ts";
import { TICKS_PER_MS, ticksFromMs } from "../../model/instant.ts";
import type { Clock, Log, Sink, SourceStream } from "../../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../../model/provisional.ts";
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
import type { ObjectHash } from "./ledger.ts";
import { objectHash } from "./ledger.ts";
import type { Provisional } from "./provisional.ts";
import { ProvisionalOwner } from "./provisional.ts";
import { quarantined } from "./quarantine.ts";
import { SentVersions } from "./sent-versions.ts";

/** Bytes of an event beyond the record's own, as the provisional window counts them. */
export const EVENT_OVERHEAD_BYTES = 512;
/**
 * A nested alert is met again as long as its incident changes, however old the alert is. It is remembered for
 * this long after it was last met.
 */
const NESTED_REMEMBERED_MS = 30 * 24 * 3_600_000;
/** Journalled once a day at most. */
const TOUCHED_EVERY_S = 24 * 3_600;
/** A version met again counts as written this long ago, so that it is not taken for a provisional one. */
const MET_LONG_AGO_S = (2 * PROVISIONAL_FOR_MS) / 1000;
/** With the overhead this fits into the ledger's 32 bits. */
const LEDGER_MOST_BYTES = 0x7fff_ffff - EVENT_OVERHEAD_BYTES;

/** What one walk is for. */
export interface WalkPass {
  readonly found: Exclude<Found, "replay">;
  /** Sweeps: a version at or after this instant is one that a poll would have found too. */
  readonly lateBefore?: Ticks;
  /** Save the walk's progress, so that it can continue after a failure or a stop. */
  readonly keepsProgress: boolean;
  /** The stream's checkpoint when the walk began; undefined in the first walk. */
  readonly upTo: Ticks | undefined;
  /** The customer's last round failed. */
  readonly isFailing: boolean;
  readonly stop: AbortSignal;
}

/** One question of a walk. */
export interface QuestionPass extends WalkPass {
  /** Rows met by the part of the walk that asks. */
  readonly seen: Seen;
}

/** One page of a question. */
export interface PagePass extends QuestionPass {
  readonly tally: PageTally;
  /** Where the page's question began. */
  readonly askedFrom: Ticks | undefined;
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
 * Sends a stream's new versions from page to sink and records them. Decides which versions are sent and as
 * what (new, updated, replay, sweep), and counts them.
 */
export class StreamDelivery {
  readonly #p: DeliveryParts;
  readonly #sent: SentVersions;
  readonly owner = new ProvisionalOwner();
  #reportedTenantMismatch = false;
  readonly #quarantined = new ReportOnce();

  constructor(parts: DeliveryParts) {
    this.#p = parts;
    this.#sent = new SentVersions({ ...parts, owners: [this.owner] });
  }

  /** Something was sent since the checkpoint was saved. */
  get wroteSinceSave(): boolean {
    return this.#sent.wroteSinceSave;
  }

  checkpointSaved(): void {
    this.#sent.checkpointSaved();
  }

  /** False when the ledger holds another version by now. */
  askForReplay(hash: ObjectHash, updated: Ticks): boolean {
    return this.#sent.askForReplay(hash, updated);
  }

  /**
   * Call after a complete walk: what was to be sent again but was not met has been replaced by a newer
   * version, or is gone from Microsoft.
   */
  endReplay(): void {
    const dropped = this.#sent.dropReplays();
    if (dropped > 0) this.#p.report.count("superseded", dropped);
  }

  /** Sends what is new in a batch; all of it counts in the page's tally and seen rows. */
  async deliver(batch: readonly PageRecord[], page: PagePass): Promise<void> {
    const { provisional } = this.#p;
    const { tally, seen } = page;
    const deliveries: Delivery[] = [];
    const touched: ObjectHash[] = [];
    const transaction = this.#sent.begin();
    const nowS = provisional.writtenNowS();
    for (const record of batch) {
      if (!record.readable) {
        // It counts as a row of the list like any other; otherwise a page full of such records would look
        // like the end.
        if (record.updated === undefined) tally.untimed += 1;
        else {
          tally.meet(record.updated);
          seen.meet(record.id ?? record.sha256, record.updated);
        }
        if (record.reason === "too-large" && this.#canPassHuge(record)) tally.huge.push(record);
        else await this.#quarantine(record);
        continue;
      }
      if (!record.nested) {
        tally.meet(record.updated);
        seen.meet(record.id, record.updated);
      }
      this.#checkTenant(record);
      const hash = objectHash(record.kind, record.id);
      const judged = this.#judge(record, hash, page);
      if (!judged) {
        if (record.nested && this.#sent.touch(hash, nowS - MET_LONG_AGO_S, TOUCHED_EVERY_S)) touched.push(hash);
        continue;
      }
      const { updated } = record;
      const entry: LedgerEntry = {
        hash,
        updated,
        writtenAtS: nowS,
        byteLength: record.body.end - record.body.start + EVENT_OVERHEAD_BYTES,
        bodyCrc: crcOf(record.body),
        change: judged.change,
      };
      // A nested record is found by its incident's time, not by its own. A row that only the sweep found
      // cannot be found by its own time either. Both are requested again from where this page's question
      // began.
      const fromPage = page.askedFrom !== undefined && (record.nested === true || page.found === "sweep");
      const askFrom = fromPage && page.askedFrom < updated ? page.askedFrom : updated;
      transaction.add({ entry, owner: this.owner, askFrom });
      deliveries.push({ ...judged, record });
    }
    if (!transaction.isEmpty) {
      await transaction.send({ deliveries });
      for (const delivery of deliveries) this.#p.report.countDelivered(delivery, delivery.record);
    }
    // Last of all, because it may fail on a full disk: by now the sent versions are in the journal.
    await this.#sent.journalTouched(touched);
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
   * Fetches a record that is too large for memory into a temporary file, then sends it in pieces. The file is
   * needed because an event that has begun cannot be withdrawn when the answer is interrupted, and because a
   * slow answer must not block the sink for other customers.
   */
  async deliverHuge(record: HugeRecord, pass: WalkPass): Promise<void> {
    const { source, sink, tenant, provisional, budget } = this.#p;
    const tempFile = await this.#p.openTempFile();
    try {
      if (!(await budget.consume(pass.stop))) throw stopped();
      this.#p.report.count("requests");
      const digest = createHash("sha256");
      const keep = (bytes: Uint8Array) => {
        digest.update(bytes);
        return tempFile.append(bytes);
      };
      const head = await source.fetchHuge?.(record, keep, pass.stop);
      if (!head || !sink.writeHuge) return await this.#quarantine(record);
      const hash = objectHash(head.kind, head.id);
      const bodyCrc = digest.digest().readInt32LE(0);
      const judged = this.#judge(head, hash, pass, bodyCrc);
      if (!judged) return;
      const bodyBytes = Math.min(tempFile.byteLength, sink.hugeMostBytes ?? LEDGER_MOST_BYTES, LEDGER_MOST_BYTES);
      const entry: LedgerEntry = {
        hash,
        updated: head.updated,
        writtenAtS: provisional.writtenNowS(),
        byteLength: bodyBytes + EVENT_OVERHEAD_BYTES,
        bodyCrc,
        change: judged.change,
      };
      const { stanza, stream, change, found, key } = judged;
      const transaction = this.#sent.begin();
      transaction.add({ entry, owner: this.owner, askFrom: entry.updated });
      await transaction.send({
        huge: { stanza, tenant, stream, change, found, key, record: head },
        pieces: tempFile.pieces(),
      });
      this.#p.report.countDelivered(judged, head);
      await this.#sent.flush();
    } finally {
      await tempFile.dispose();
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
    const verdict = this.#sent.judge(hash, record.updated, () => (record.body ? crcOf(record.body) : bodyCrc));
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
        change = this.#isNew(record, pass.upTo) ? "new" : "updated";
        break;
      case "newer":
        if (verdict.awaitedReplay) report.count("superseded");
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

  /** @param upTo the stream's checkpoint: an object created before its ledger's span is not new. */
  #isNew(record: RecordHead, upTo: Ticks | undefined): boolean {
    if (upTo === undefined || record.created === undefined) return true;
    return record.created > upTo - ticksFromMs(ledgerSpanMs(this.#p.settings));
  }

  /** Reports each content once, since every poll whose lookback contains it meets it. */
  async #quarantine(record: UnreadableRecord): Promise<void> {
    if (!this.#quarantined.reportOnce(record.sha256)) return;
    const { source, customer, report } = this.#p;
    const named = record.id === undefined ? "without a readable id" : `with id ${record.id}`;
    await customer.incident(
      report,
      quarantined(
        record,
        `A record of ${source.name} ${named}`,
        "Raise record_max_mib above the record's size.",
        "Report the id and the hash to Microsoft if the alert matters.",
      ),
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
        say: `Records of ${source.name} carry tenant ${record.payloadTenantId}, but this customer is configured as ${tenant.id}. They are delivered with the configured tenant.`,
        nextStep: "Check tenant_id of this customer.",
      }),
    );
  }

  /**
   * Forgets versions older than `askedAgainFrom` less the ledger's span, and rewrites the journal when most
   * of its entries are obsolete.
   */
  async tidy(askedAgainFrom: Ticks | undefined): Promise<void> {
    if (askedAgainFrom === undefined) return;
    const { settings, provisional, source, tenant, log } = this.#p;
    const nestedBeforeS = provisional.writtenNowS() - NESTED_REMEMBERED_MS / 1000;
    const oldest = askedAgainFrom - BigInt(ledgerSpanMs(settings)) * TICKS_PER_MS;
    const pruned = await this.#sent.tidy((ledger) =>
      source.hasNested === true ? ledger.prune(oldest, nestedBeforeS) : ledger.prune(oldest),
    );
    if (pruned !== undefined)
      log.debug("journal compacted", { tenant: tenant.name, stream: source.name, pruned, kept: this.#sent.size });
  }
}

function crcOf(body: RecordBody): number {
  const { bytes, start, end } = body;
  return crc32(bytes.subarray(start, end));
}
