import type { Delivery } from "./event.ts";
import type { LostOwner } from "./lost-owner.ts";
import type { StateKey, StreamStore } from "./state.ts";

/** A shard that this member owns: a part of the customers, and the number of the claim that gave it. */
export interface Lease {
  readonly shard: number;
  /** Each claim of the shard by any member has a higher one. Whoever writes under an older one is refused. */
  readonly epoch: bigint;
  /** Whose place expired while it had the shard; absent: it was given up, or nobody knows. */
  readonly lostOwner?: LostOwner;
}

/** Which members live, as the database's clock says. */
export interface Standing {
  /** Members that share the customers now. */
  readonly members: number;
  /** Not while it is drained, has another key, or while others run with the applied configuration. */
  readonly shares: boolean;
  readonly shards: number;
  /** What the store has for this member. A lease that it does not hold here must be given up. */
  readonly owned: readonly Lease[];
  /** Live members that run with another configuration than this one. */
  readonly otherConfigurations: readonly string[];
  readonly isDraining: boolean;
  /** This member cannot open the fleet's secrets. */
  readonly hasOtherKey: boolean;
  /** How far this host's clock is ahead of the database's. */
  readonly clockAheadMs: number;
  /** Damaged packets of the whole fleet that nobody has sent again or given up yet. */
  readonly setAside: number;
  /**
   * Another one after a failover: what was committed last may be missing then. Absent where the database does
   * not say it.
   */
  readonly timeline?: string;
}

export interface MemberIdentity {
  readonly name: string;
  readonly version: string;
  readonly configHash: string;
}

/** A live member, as the others see it. */
export interface LiveMember {
  readonly isDraining: boolean;
  /** It runs with the configuration that was applied last. */
  readonly isApplied: boolean;
  /** It cannot open the fleet's secrets. */
  readonly hasOtherKey: boolean;
}

/**
 * Members that share the customers: those with the applied configuration that are not drained. Where there
 * are none, the others do: nobody's customers may wait for a person. A member with another key never does,
 * because customers that it cannot sign in would be its own.
 */
export function sharing<Member extends LiveMember>(live: readonly Member[]): readonly Member[] {
  const able = live.filter(({ hasOtherKey }) => !hasOtherKey);
  const undrained = able.filter(({ isDraining }) => !isDraining);
  const applied = undrained.filter(({ isApplied }) => isApplied);
  return [applied, undrained, able].find((some) => some.length > 0) ?? [];
}

/** One stream of one customer in the fleet's store, opened under a lease. */
export interface FleetStream {
  /** Names the stream in the store. */
  readonly id: number;
  readonly lease: Lease;
  readonly store: StreamStore;
}

/**
 * Names one commit of a stream for ever: a database that was restored from a backup gives the number again,
 * but under another epoch.
 */
export interface PacketPlace {
  readonly stream: number;
  readonly seq: bigint;
  /** Of the lease under which it was committed. */
  readonly epoch: bigint;
}

/**
 * A receiver that keeps, in one transaction with the events of a shard, which packets it has. Only one sender
 * of a shard is let in at a time.
 */
export interface PacketReceiver {
  /** This process is the one that is let in, as far as it knows. */
  isOpen(shard: number): boolean;
  /**
   * Shuts out whoever delivered the shard before, and learns what the receiver has. Whatever the store said
   * is waiting before this call may have been delivered by another one since. Waits while the receiver
   * cannot be reached. False as soon as it is not wanted any more.
   */
  takeOver(shard: number, isWanted: () => boolean): Promise<boolean>;
  has(shard: number, packet: PacketPlace): boolean;
  /** Nothing of the shard is delivered here any more. */
  leave(shard: number): void;
}

/** A receiver that gets at most so many events in a second. */
export interface PacedReceiver {
  /**
   * Resolves when events may be sent to it. Nobody else may send until what this gives is called: once it is
   * known how many are sent. Undefined: `stop` fired before.
   */
  acquireSlot(stop: AbortSignal): Promise<(() => void) | undefined>;
  /** About what it gets in a second, as the store keeps it. */
  readonly bytesAtOnce: number;
}

/**
 * A receiver that acknowledges nothing, such as syslog's: what it took may still be lost with its connection.
 */
export interface UnacknowledgedReceiver {
  /** Nothing is read from the store for it while it cannot be reached. */
  isUp(): boolean;
  /** Called when what was taken may be lost: nothing of it counts that was not confirmed in the store. */
  onBroken(listener: () => void): void;
  /**
   * Closes the connection normally and connects again. True when the receiver closed its side too, which is
   * the only sign that it has read everything that it took before.
   */
  settle(withinMs: number): Promise<boolean>;
}

/** Versions that were committed together and not confirmed by an output yet. */
export interface WaitingPacket extends PacketPlace {
  /** What it takes in the store; 0 when that cannot be read. */
  readonly bytes: number;
  /** None when it is damaged. */
  readonly deliveries: readonly Delivery[];
  /** Why it cannot be read, and never will be. */
  readonly damage?: string;
  /** To be called when the deliveries are no longer read: their memory is used again. */
  readonly done?: () => void;
}

/** A packet that cannot be read, found under a lease. */
export interface DamagedPacket extends Confirmation {
  readonly damage: string;
}

/** How far an output has confirmed a stream. */
export interface Confirmation {
  readonly stream: number;
  readonly epoch: bigint;
  readonly seq: bigint;
}

/** What a stream's store reports beside the results of its calls. */
export interface FleetStreamEvents {
  /** A packet was committed, of so many bytes: it can be delivered from now on. */
  committed(stream: number, bytes: number): void;
  /** The shard is no longer this member's, or nobody knows: it must be forgotten and claimed anew. */
  lost(lease: Lease): void;
}

/**
 * What the members of a fleet share. No call compares clocks of hosts. Throws Failure `fleet-unreachable`,
 * `fleet-refused`, `fleet-unsettled`.
 */
export interface FleetStore {
  /** Makes this process a member under a new identity. An earlier one expires, and then frees its shards. */
  register(member: MemberIdentity): Promise<void>;
  /** False when this identity expired: everything that it owned may belong to others. */
  renew(): Promise<boolean>;
  /** Throws also `fleet-moved`, when this member owns nothing because the streams are elsewhere. */
  standing(): Promise<Standing>;
  /** Takes at most so many shards whose owner is gone. */
  claim(most: number): Promise<readonly Lease[]>;
  /** Gives shards up, so that any member can claim them; what is another's by now stays so. */
  release(leases: readonly Lease[]): Promise<void>;
  /** Gives up everything. */
  leave(): Promise<void>;
  /** Throws also `fleet-fenced`. */
  open(key: StateKey, lease: Lease, outputs: readonly string[], events: FleetStreamEvents): Promise<FleetStream>;
  /**
   * What waits for the output, of each stream oldest first; at least one packet when there is one.
   *
   * @param takenTo of a stream the last packet that the receiver took: it and those before it are left out.
   */
  waiting(
    output: string,
    streams: readonly number[],
    mostBytes: number,
    takenTo?: ReadonlyMap<number, bigint>,
  ): Promise<readonly WaitingPacket[]>;
  /**
   * Notes packets that cannot be read, so that they are kept and every member says so. What is another
   * member's by now is left alone. Repeating it changes nothing.
   */
  setAside(packets: readonly DamagedPacket[]): Promise<void>;
  /**
   * Moves the output's progress, never back. Returns the streams that are still this member's; the others are
   * left alone.
   */
  confirm(output: string, confirmations: readonly Confirmation[]): Promise<readonly number[]>;
  /** Prepares the next hours for packets, and removes hours that every output confirmed. */
  keepHouse(): Promise<void>;
  close(): Promise<void>;
}
