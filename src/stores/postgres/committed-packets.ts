import { BatchMemory } from "../../model/batch-memory.ts";
import type { Delivery } from "../../model/event.ts";
import type { PacketPlace } from "../../model/fleet.ts";
import type { SourceRecord } from "../../model/record.ts";
import { type Packed, packed } from "./packet.ts";

type Body = SourceRecord["body"];

/**
 * Bodies that lie one after another in `bytes` from `start` on, with one byte between them, and whose member
 * tables are copies in one array.
 */
export type BodiesAt = (bodies: readonly Body[], bytes: Uint8Array, start: number) => readonly Body[];

/** A packet that is being committed. */
export interface FreshPacket extends Packed {
  /** In the packet's memory. Undefined where there is no room to keep it. */
  readonly deliveries: readonly Delivery[] | undefined;
}

/** A packet that was committed here. */
export interface KeptPacket extends PacketPlace {
  readonly deliveries: readonly Delivery[];
}

interface Kept extends KeptPacket {
  readonly memory: Buffer;
  /** Outputs that have neither taken nor confirmed it. */
  readonly waitingFor: Set<string>;
  users: number;
  isForgotten: boolean;
}

/**
 * What this member committed last and no output has confirmed yet: it is delivered from here, so that it need
 * not be read back. Only the store decides what is delivered; this only spares the bytes. When it is full,
 * what comes next is not kept: older packets are delivered first.
 */
export class CommittedPackets {
  readonly #mostBytes: number;
  readonly #bodiesAt: BodiesAt;
  readonly #memory = new BatchMemory();
  readonly #streams = new Map<number, Map<bigint, Kept>>();
  #bytes = 0;

  constructor(mostBytes = 0, bodiesAt: BodiesAt = () => []) {
    this.#mostBytes = mostBytes;
    this.#bodiesAt = bodiesAt;
  }

  /** How much memory is taken by packets that are kept, or were and are still read. */
  get bytes(): number {
    return this.#bytes;
  }

  /** To be given to `committed` or `dropped`. The deliveries' memory may be used again when this returns. */
  pack(deliveries: readonly Delivery[]): FreshPacket {
    const packet = packed(deliveries, (byteLength) => this.#memory.lend(byteLength));
    const { memory, bytes, start } = packet;
    if (this.#bytes + memory.length > this.#mostBytes) return { ...packet, deliveries: undefined };
    const bodies = this.#bodiesAt(
      deliveries.map(({ record }) => record.body),
      bytes,
      start,
    );
    const own = deliveries.map((one, i) => ({ ...one, record: { ...one.record, body: bodies[i] as Body } }));
    this.#bytes += memory.length + tableBytesOf(own);
    return { ...packet, deliveries: own };
  }

  committed(place: PacketPlace, packet: FreshPacket, outputs: readonly string[]): void {
    const { memory, deliveries } = packet;
    const before = this.#streams.get(place.stream)?.get(place.seq);
    // A database that was restored from a backup gives a number again.
    if (before !== undefined) this.#forget(before);
    if (deliveries === undefined || outputs.length === 0) return this.dropped(packet);
    const ofStream = this.#streams.get(place.stream) ?? new Map<bigint, Kept>();
    this.#streams.set(place.stream, ofStream);
    ofStream.set(place.seq, {
      ...place,
      deliveries,
      memory,
      waitingFor: new Set(outputs),
      users: 0,
      isForgotten: false,
    });
  }

  /** It was not committed, or nobody knows. */
  dropped({ memory, deliveries }: Pick<FreshPacket, "memory" | "deliveries">): void {
    if (deliveries !== undefined) this.#bytes -= memory.length + tableBytesOf(deliveries);
    this.#memory.release(memory);
  }

  /** Kept packets of these streams. Their memory is not used again until `done` was called for each. */
  using(streams: readonly number[]): KeptPacket[] {
    const found = streams.flatMap((stream) => [...(this.#streams.get(stream)?.values() ?? [])]);
    for (const one of found) one.users += 1;
    return found;
  }

  /** Nobody reads it any more who asked for it. */
  done(packet: KeptPacket): void {
    const kept = packet as Kept;
    kept.users -= 1;
    if (kept.isForgotten && kept.users === 0) this.dropped(kept);
  }

  /** The output has, or took, what was committed up to here. */
  confirmed(output: string, { stream, seq }: Pick<PacketPlace, "stream" | "seq">): void {
    for (const one of this.#streams.get(stream)?.values() ?? []) {
      if (one.seq > seq) continue;
      one.waitingFor.delete(output);
      if (one.waitingFor.size === 0) this.#forget(one);
    }
  }

  /** The stream is given up. */
  forget(stream: number): void {
    for (const one of this.#streams.get(stream)?.values() ?? []) this.#forget(one);
  }

  #forget(kept: Kept): void {
    const ofStream = this.#streams.get(kept.stream);
    if (ofStream?.get(kept.seq) === kept) ofStream.delete(kept.seq);
    if (ofStream?.size === 0) this.#streams.delete(kept.stream);
    kept.isForgotten = true;
    if (kept.users === 0) this.dropped(kept);
  }
}

/** The member tables of one packet lie together. */
function tableBytesOf([first]: readonly Delivery[]): number {
  return first?.record.body.members.byteLength ?? 0;
}
