import type { Delivery, HugeDelivery } from "../../model/event.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { Ticks } from "../../model/instant.ts";
import type { Sink } from "../../model/ports.ts";
import type { LedgerEntry, PageCommit, StreamStore } from "../../model/state.ts";
import { type HeldVersion, Ledger, type ObjectHash, type Verdict } from "./ledger.ts";
import type { Provisional, ProvisionalOwner } from "./provisional.ts";

/** The journal may hold this many entries beyond twice the ledger's before it is rewritten. */
const JOURNAL_SLACK = 1_024;

export interface SentVersionsParts {
  readonly store: StreamStore;
  readonly sink: Sink;
  readonly provisional: Provisional;
  /** All that this stream has in the provisional window. */
  readonly owners: readonly ProvisionalOwner[];
}

/** One version on its way out. */
export interface OutgoingVersion {
  readonly entry: LedgerEntry;
  readonly owner: ProvisionalOwner;
  /** A question that begins here finds the version again. */
  readonly askFrom: Ticks;
}

/** What a transaction sends: events whose bodies are in memory, or one whose body comes in pieces. */
export type Outgoing =
  | { readonly deliveries: readonly Delivery[] }
  | { readonly huge: HugeDelivery; readonly pieces: AsyncIterable<Uint8Array> };

/**
 * The versions one stream has sent: the ledger in memory, its journal in the store and its part of the
 * provisional window. This class alone decides the order in which these and the sink are written.
 */
export class SentVersions {
  readonly #p: SentVersionsParts;
  readonly #ledger = new Ledger();
  #journalEntries = 0;
  #wroteSinceSave = false;

  /** Takes over the journal as it was at opening. */
  constructor(parts: SentVersionsParts) {
    this.#p = parts;
    for (const entry of parts.store.takeEntries()) {
      this.#ledger.put(entry);
      parts.provisional.sawWritten(entry.writtenAtS);
      this.#journalEntries += 1;
    }
  }

  /** Something was sent since the checkpoint was saved. */
  get wroteSinceSave(): boolean {
    return this.#wroteSinceSave;
  }

  checkpointSaved(): void {
    this.#wroteSinceSave = false;
  }

  /** @param bodyCrc is called only when the same version is met again. */
  judge(hash: ObjectHash, updated: Ticks, bodyCrc: () => number): Verdict {
    return this.#ledger.judge(hash, updated, bodyCrc);
  }

  /** False when the ledger holds another version by now. */
  askForReplay(hash: ObjectHash, updated: Ticks): boolean {
    return this.#ledger.askForReplay(hash, updated);
  }

  /** Stops waiting for replays that never came. Returns how many were given up. */
  dropReplays(): number {
    return this.#ledger.dropReplays();
  }

  begin(): DeliveryTransaction {
    return new DeliveryTransaction(this);
  }

  /**
   * Restarts the age of an object at `atS`, since an object must be remembered as long as polls meet it.
   * Returns false when that would move it by less than `stepS`.
   */
  touch(hash: ObjectHash, atS: number, stepS: number): boolean {
    return this.#ledger.touch(hash, atS, stepS);
  }

  /** Journals that these were met, so that a restart knows it too. */
  async journalTouched(hashes: readonly ObjectHash[]): Promise<void> {
    const entries = hashes.map((hash) => this.#ledger.get(hash)).filter((entry) => entry !== undefined);
    if (entries.length === 0) return;
    await this.#p.store.commit({ entries });
    this.#journalEntries += entries.length;
  }

  /** @internal for DeliveryTransaction: puts the version into the ledger and returns what was held before. */
  replace(entry: LedgerEntry): HeldVersion | undefined {
    const before = this.#ledger.get(entry.hash);
    this.#ledger.put(entry);
    return before;
  }

  /**
   * Sends and records, in the order that the sink needs:
   *
   * - a pipe or socket: journal first. After a crash everything provisional is sent again; a version that was
   *   written but not journalled would look like a new one.
   * - a file renamed into place is not sent again, so the journal must never be ahead of it: sink first.
   * - a store that keeps bodies commits them with the entries and delivers them itself, after the commit.
   *
   * When the sink or the store fails, the versions count as not sent, in memory and in the journal. When the
   * host is gone, the journal stays as it is: the next start sends again what may not have arrived. Throws
   * what failed; Failure `state-unsettled` when the journal cannot be corrected.
   *
   * @internal for DeliveryTransaction.
   */
  async send(
    versions: readonly OutgoingVersion[],
    before: readonly (HeldVersion | undefined)[],
    outgoing: Outgoing,
  ): Promise<void> {
    const { store, sink, provisional } = this.#p;
    const entries = versions.map(({ entry }) => entry);
    const forget = () => {
      for (let i = entries.length - 1; i >= 0; i--) this.#ledger.restore(entries[i]!.hash, before[i]);
    };
    const commit = async (page: PageCommit) => {
      try {
        await store.commit(page);
      } catch (error) {
        forget();
        throw error;
      }
    };
    if (store.keepsBodies) {
      await commit({ entries, ...outgoing });
    } else {
      const journalFirst = sink.kind === "provisional";
      if (journalFirst) {
        await commit({ entries });
        for (const { entry, owner, askFrom } of versions)
          provisional.add(owner, { hash: entry.hash, updated: entry.updated, askFrom, byteLength: entry.byteLength });
      }
      try {
        await ("deliveries" in outgoing
          ? sink.write(outgoing.deliveries)
          : sink.writeHuge?.(outgoing.huge, outgoing.pieces));
      } catch (error) {
        if (!(isFailure(error) && error.code === "host-gone")) {
          forget();
          await this.#correctJournal();
        }
        throw error;
      }
      if (!journalFirst) await store.commit({ entries });
    }
    this.#journalEntries += entries.length;
    this.#wroteSinceSave = true;
  }

  /** Makes everything journalled survive a crash of the machine too. */
  flush(): Promise<void> {
    return this.#p.store.flush();
  }

  async #correctJournal(): Promise<void> {
    try {
      await this.#rewriteJournal();
    } catch (cause) {
      throw new Failure("state-unsettled", {
        actor: "operator",
        retry: { when: "never" },
        say: "The output refused events and the journal that lists them could not be corrected. The program stops, and the next start sends them again.",
        nextStep: "Free disk space for the state folder and the output, then start the program again.",
        cause,
      });
    }
  }

  /**
   * Forgets versions by the caller's rule and rewrites the journal when most of its entries are obsolete.
   * Returns how many versions were forgotten, or undefined when the journal was not rewritten.
   */
  async tidy(prune: (ledger: Ledger) => number): Promise<number | undefined> {
    if (!this.#isMostlyObsolete && this.#ledger.size < JOURNAL_SLACK) return undefined;
    const pruned = prune(this.#ledger);
    if (!this.#isMostlyObsolete) return undefined;
    await this.#rewriteJournal();
    return pruned;
  }

  get size(): number {
    return this.#ledger.size;
  }

  get #isMostlyObsolete(): boolean {
    return this.#journalEntries >= 2 * this.#ledger.size + JOURNAL_SLACK;
  }

  async #rewriteJournal(): Promise<void> {
    const { store, provisional, owners } = this.#p;
    await store.compact(provisional.inWrittenOrder(owners, this.#ledger));
    this.#journalEntries = this.#ledger.size;
  }
}

/**
 * Versions that are sent together. Each is in the ledger from the moment it is added, so that a second
 * version of the same object is compared with the first. `send` sends and records all of them, or none.
 */
export class DeliveryTransaction {
  readonly #sent: SentVersions;
  readonly #versions: OutgoingVersion[] = [];
  readonly #before: (HeldVersion | undefined)[] = [];

  constructor(sent: SentVersions) {
    this.#sent = sent;
  }

  get isEmpty(): boolean {
    return this.#versions.length === 0;
  }

  add(version: OutgoingVersion): void {
    this.#before.push(this.#sent.replace(version.entry));
    this.#versions.push(version);
  }

  /** Rejects as `SentVersions.send`. */
  send(outgoing: Outgoing): Promise<void> {
    return this.#sent.send(this.#versions, this.#before, outgoing);
  }
}
