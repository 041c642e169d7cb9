import type { Change, Delivery, HugeDelivery } from "./event.ts";
import type { Ticks } from "./instant.ts";
import type { PageRecord } from "./record.ts";
import type { StreamName } from "./stream.ts";
import type { TenantId } from "./tenant.ts";

/** Identifies one stream's state. A renamed stanza takes over its tenant's state under the old name. */
export interface StateKey {
  readonly stanza: string;
  readonly tenantId: TenantId;
  readonly stream: StreamName;
}

/** The saved state of one stream besides its ledger. On disk all instants are ticks in decimal text. */
export interface Checkpoint {
  readonly version: 1;
  /** Everything up to here was requested and written; undefined before the first walk completed. */
  readonly upTo?: Ticks;
  /**
   * The value of `upTo` after the last complete poll over the whole overlap. Rows that appeared late since
   * then are at most the overlap before this.
   */
  readonly reachedUpTo?: Ticks;
  /**
   * The value of `upTo` at the last complete sweep, so that a stop before the next complete sweep skips
   * nothing in between.
   */
  readonly sweptUpTo?: Ticks;
  /** The first run's lower bound, fixed when the first walk began. */
  readonly start: Ticks;
  /** An interrupted walk, to be continued. `cursor`: everything from `from` to here was written. */
  readonly walk?: { readonly from: Ticks; readonly cursor: Ticks; readonly startedAtMs: number };
  readonly nextPollAtMs: number;
  readonly nextSweepAtMs: number;
  readonly pollsSinceFullReach: number;
  readonly walkCompletedAtMs?: number;
  /** Hunting: by query, the end of the last window that was delivered. */
  readonly queries?: Readonly<Record<string, Ticks>>;
}

/** One version in the ledger's journal. */
export interface LedgerEntry {
  /**
   * 128 bits that stand for kind and object id (`objectHash` in collect/delivery/ledger.ts), as four signed
   * 32-bit words.
   */
  readonly hash: readonly [number, number, number, number];
  readonly updated: Ticks;
  /** Whole seconds since 1970 when it was written to the host. */
  readonly writtenAtS: number;
  /** Bytes written for it. */
  readonly byteLength: number;
  /** CRC-32 of the record's bytes. */
  readonly bodyCrc: number;
  /** The event's `change`; a replay has the same value. */
  readonly change: Change;
}

/** What one commit records together. */
export interface PageCommit {
  /** For the journal, in the order sent. */
  readonly entries?: readonly LedgerEntry[];
  readonly checkpoint?: Checkpoint;
  /** For a store that keeps bodies: what it delivers. Copied before the commit resolves. */
  readonly deliveries?: readonly Delivery[];
  /** The same for one record that is too large for memory. */
  readonly huge?: HugeDelivery;
  readonly pieces?: AsyncIterable<Uint8Array>;
}

/**
 * One stream's saved state. Only one process holds the folder at a time.
 */
export interface StreamStore {
  readonly key: StateKey;
  /**
   * True if the last holder of this stream stopped normally, or if the stream is new: no provisional event
   * has to be sent again.
   */
  readonly lastStopWasOrderly: boolean;
  /**
   * Undefined if nothing readable is stored. For a damaged file the previous one is used, and the log reports
   * it.
   */
  readonly checkpoint: Checkpoint | undefined;
  /** The journal at opening, oldest first, without an incomplete end. Returned once; not kept. */
  takeEntries(): readonly LedgerEntry[];
  /**
   * True when a commit also keeps what is to be sent, and the store delivers it after the commit: a database,
   * a spool with bodies. Otherwise the caller writes to the sink itself.
   */
  readonly keepsBodies: boolean;
  /**
   * Of a store to which each commit is a transaction: a page's batches as fewer, larger ones. A batch's bytes
   * are valid until the next one is requested.
   */
  readonly joined?: (batches: AsyncIterable<readonly PageRecord[]>) => AsyncIterable<readonly PageRecord[]>;
  /**
   * Commits one page. Entries survive a crash of this process once this resolves. A checkpoint is never ahead
   * of the entries committed before it, and with it everything survives a crash of the host. Rejects with
   * Failure `state-unwritable`: then nothing of the page counts.
   */
  commit(page: PageCommit): Promise<void>;
  /** Makes all commits survive a crash of the host too. */
  flush(): Promise<void>;
  /** Replaces the journal by these entries (written aside, flushed, renamed). */
  compact(entries: Iterable<LedgerEntry>): Promise<void>;
  close(): Promise<void>;
}

/**
 * A separate file for one record that is too large for memory. It is deleted when disposed of, else at the
 * next start.
 */
export interface TempFile {
  append(bytes: Uint8Array): Promise<void>;
  readonly byteLength: number;
  /** From the beginning, in pieces of bounded size. */
  pieces(): AsyncIterable<Uint8Array>;
  dispose(): Promise<void>;
}

export interface StateFolder {
  /** True if every stream's last holder stopped normally, or if the folder is new. */
  readonly lastStopWasOrderly: boolean;
  open(key: StateKey): Promise<StreamStore>;
  /**
   * True if the stanza, once opened, has taken over its tenant's state under that other name. Facts about one
   * name then apply to the other.
   */
  wasLeftUnder?(key: StateKey, stanza: string): boolean;
  /** Throws Failure `state-unwritable`. */
  openTempFile(): Promise<TempFile>;
  /**
   * Deletes what is kept of a tenant's streams; nothing while one of them is open. Throws Failure
   * `state-unwritable`.
   */
  forget?(tenantId: TenantId): Promise<void>;
  /** Tenant domains resolved to GUIDs and other small facts, by name. */
  readFact(name: string): Promise<string | undefined>;
  writeFact(name: string, value: string): Promise<void>;
  /** Records the normal stop and releases the folder. */
  release(options: { readonly orderly: boolean }): Promise<void>;
}
