import type { HealthNotice } from "../format/arcsight/cef-mapping.ts";
import type { Failure } from "../model/failure.ts";
import type { PacedReceiver, PacketPlace, PacketReceiver, UnacknowledgedReceiver } from "../model/fleet.ts";
import type { Sealed } from "../model/sealed.ts";

/** Formatted events on their way to one output. */
export interface Batch {
  /**
   * Whole lines, each ended by a line break; no line holds one inside. Used again for other lines once
   * `write` has settled: what an output keeps, it copies.
   */
  readonly bytes: Uint8Array;
  /**
   * Who each event is: `<stanza>|<version key>`. Health and test events have none, so `keys` may be shorter
   * than the lines.
   */
  readonly keys: readonly string[];
  /** For each key, the offset behind its last line. */
  readonly ends: readonly number[];
  /** Of a fleet: the packets that hold these events, and those of the same round that the receiver has. */
  readonly from?: ShardPackets;
}

/** Packets of streams of one shard. */
export interface ShardPackets {
  readonly shard: number;
  readonly packets: readonly PacketPlace[];
}

export interface OutputCondition {
  /**
   * `up`: accepts events. `down`: the receiver cannot be reached, events wait on disk. `refusing`: no event
   * is accepted, collection waits.
   */
  readonly state: "up" | "down" | "refusing";
  readonly failure?: Failure;
  readonly spooledBytes: number;
  /** Since when what waits longest is on disk, by this machine's clock; undefined when nothing waits. */
  readonly waitingSinceMs?: number;
  /** Events that the receiver took and has not acknowledged; undefined where it acknowledges nothing. */
  readonly unconfirmed?: number;
  /** Events that the receiver refused for good since the start; undefined where it says nothing. */
  readonly rejected?: number;
  readonly spoolLimitBytes: number;
}

/** What listeners hear about an output. */
export interface OutputListener {
  /**
   * A connection broke on which events may have been lost. They are now pending, and are accepted when they
   * come again.
   */
  broken?(): void;
  changed?(condition: OutputCondition): void;
  /** Something that somebody has to read, also where the log is not read. */
  noticed?(notice: OutputNotice): void;
}

export interface OutputNotice {
  readonly about: HealthNotice;
  readonly say: string;
}

/** What an output signs in with: HEC with a token, Kafka with a password. */
export interface OutputSecrets {
  readonly token?: Sealed;
  readonly password?: Sealed;
}

/** One `outputs[n]`: where formatted events go, and what it knows of those it had. */
export interface Output {
  /** `outputs[0]`. */
  readonly name: string;
  /** Where events go, for messages: a path, or an address. */
  readonly where: string;
  readonly kind: "provisional" | "durable";
  /** False when the event is here already, and not unconfirmed: it must not be written again. */
  wants(key: string): boolean;
  /**
   * Resolves when everything is taken. Rejects with Failure `output-full` or `output-broken`; nothing of the
   * batch counts as taken then.
   */
  write(batch: Batch): Promise<void>;
  condition(): OutputCondition;
  listen(listener: OutputListener): void;
  /** Of a receiver that keeps which packets of a fleet it has. */
  readonly packets?: PacketReceiver;
  /** Of a receiver that acknowledges nothing, where the writer keeps what it took: a fleet's database. */
  readonly unacknowledged?: UnacknowledgedReceiver;
  /** Of a receiver that gets at most so many events in a second, where the writer keeps them until then. */
  readonly pace?: PacedReceiver;
  /** Signs in with these from now on, and tries at once where the old ones were refused. */
  renew?(secrets: OutputSecrets): void;
  /** Makes everything that is taken safe. `withinMs`: how long a receiver may still be waited for. */
  close(withinMs: number): Promise<void>;
}
