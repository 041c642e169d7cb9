import type { Change, Delivery, HugeDelivery } from "./event.ts";
import type { Ticks } from "./instant.ts";
import type { StreamName } from "./stream.ts";
import type { TenantId } from "./tenant.ts";

/** Names one stream's state. A renamed stanza adopts the state that its tenant left under another name. */
export interface StateKey {
  readonly stanza: string;
  readonly tenantId: TenantId;
  readonly stream: StreamName;
}

/** What is saved of one stream beside its ledger. All instants are ticks in decimal text on disk. */
export interface Checkpoint {
  readonly version: 1;
  /** Everything up to here was asked for and written; undefined before the first walk completed. */
  readonly upTo?: Ticks;
  /**
   * Where `upTo` stood after the last complete poll that reached back over the whole overlap: what appeared
   * late since then lies at most the overlap before this.
   */
  readonly reachedUpTo?: Ticks;
  /**
   * Where `upTo` stood at the last complete sweep: a stop before the next one is complete must not leave out
   * what lies between.
   */
  readonly sweptUpTo?: Ticks;
  /** The first run's lower bound, fixed when the first walk began. */
  readonly start: Ticks;
  /** A walk that was interrupted, to go on with. `cursor`: everything from `from` to here was written. */
  readonly walk?: { readonly from: Ticks; readonly cursor: Ticks; readonly startedAtMs: number };
  readonly nextPollAtMs: number;
  readonly nextSweepAtMs: number;
  readonly pollsSinceFullReach: number;
  readonly walkCompletedAtMs?: number;
  /** Hunting: by query, the end of the last window that was delivered. */
  readonly queries?: Readonly<Record<string, Ticks>>;
}

/** One version as the ledger's journal keeps it. */
export interface LedgerEntry {
  /**
   * 128 bits that stand for kind and object id (`objectHash` in collect/delivery/ledger.ts), as four signed 32-bit
   * words.
   */
  readonly hash: readonly [number, number, number, number];
  readonly updated: Ticks;
  /** Whole seconds since 1970 when it was written to the host. */
  readonly writtenAtS: number;
  /** Bytes written for it. */
  readonly byteLength: number;
  /** CRC-32 of the record's bytes. */
  readonly bodyCrc: number;
  /** What the event said of itself (`change`): a replay says the same. */
  readonly change: Change;
}

/** What is recorded together. */
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
   * True when the last holder that had this stream open stopped in order, or when the stream is new: nothing
   * provisional is to be sent again.
   */
  readonly stoppedInOrder: boolean;
  /**
   * Undefined when nothing (readable) is stored; a damaged file falls back to the previous one and is
   * reported to the log.
   */
  readonly checkpoint: Checkpoint | undefined;
  /** The journal as it was at opening, oldest first, a torn tail cut away. Given once; not kept. */
  takeEntries(): readonly LedgerEntry[];
  /**
   * True when a commit also keeps what is to be sent, and the store delivers it after the commit: a database,
   * a spool with bodies. Otherwise the caller writes to the sink itself.
   */
  readonly keepsBodies: boolean;
  /**
   * Commits one page. Entries survive our own crash once this resolved. A checkpoint is never ahead of the
   * entries committed before it, and with it everything survives the host's crash. Rejects with Failure
   * `state-unwritable`: then nothing of the page counts.
   */
  commit(page: PageCommit): Promise<void>;
  /** Makes everything committed survive the host's death too. */
  flush(): Promise<void>;
  /** Replaces the journal by these entries (written aside, flushed, renamed). */
  compact(entries: Iterable<LedgerEntry>): Promise<void>;
  close(): Promise<void>;
}

/**
 * A file of its own for one record that is too large for memory; gone when disposed of, or with the process
 * at the next start.
 */
export interface TempFile {
  append(bytes: Uint8Array): Promise<void>;
  readonly byteLength: number;
  /** From the beginning, in pieces of bounded size. */
  pieces(): AsyncIterable<Uint8Array>;
  dispose(): Promise<void>;
}

export interface StateFolder {
  /** True when every stream's last holder stopped in order, or when the folder is new. */
  readonly stoppedInOrder: boolean;
  open(key: StateKey): Promise<StreamStore>;
  /**
   * True when the stanza, once opened, has taken over what its tenant left under that other name: facts about
   * the one hold for the other.
   */
  wasLeftUnder?(key: StateKey, stanza: string): boolean;
  /** Tenant domains resolved to GUIDs and other small facts, by name. */
  /** Throws Failure `state-unwritable`. */
  openTempFile(): Promise<TempFile>;
  readFact(name: string): Promise<string | undefined>;
  writeFact(name: string, value: string): Promise<void>;
  /** Records the orderly stop and gives the folder up. */
  release(options: { readonly orderly: boolean }): Promise<void>;
}
