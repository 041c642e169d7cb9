import { type Backoff, backoffMs } from "../../model/backoff.ts";
import type { Delivery, HugeDelivery } from "../../model/event.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { FleetStore, FleetStream, Lease } from "../../model/fleet.ts";
import type { Clock, Random } from "../../model/ports.ts";
import type { PageCommit, StateFolder, StateKey, StreamStore, TempFile } from "../../model/state.ts";
import type { FleetStatus } from "../../model/status.ts";
import type { TenantId } from "../../model/tenant.ts";
import { unanswered } from "./failures.ts";
import type { FleetMember } from "./member.ts";
import type { OutputLanes } from "./output-lanes.ts";

/** Each costs the shard: after more of them the customer waits, so that the others go on. */
const UNANSWERED_WITHOUT_PAUSE = 2;
const UNANSWERED_AGAIN: Backoff = { firstMs: 30_000, longestMs: 600_000 };
/** After the wait, and longer than a customer with failures waits. Another member may have had it since. */
const UNANSWERED_REMEMBERED_FOR_MS = 1_800_000;

export interface FleetStateParts {
  /** This machine's: its lock, temporary files and small facts. Streams are in the store. */
  readonly local: StateFolder;
  readonly store: FleetStore;
  readonly member: FleetMember;
  readonly clock: Clock;
  readonly random: Random;
  readonly shardOf: (tenantId: TenantId) => number;
  /** A record that is too large for memory, without its large members. */
  readonly reduce: (huge: HugeDelivery, pieces: AsyncIterable<Uint8Array>) => Promise<Delivery>;
  /** As of each stream's store. */
  readonly joined: NonNullable<StreamStore["joined"]>;
}

/** The state of a member: streams in the store that all members share, the rest on this machine. */
export class FleetState implements StateFolder {
  readonly lastStopWasOrderly = true;
  readonly #p: FleetStateParts;
  readonly #streams = new Map<number, { readonly lease: Lease; readonly store: StreamStore }>();
  /** Streams whose last commits got no answer, and until when their customers wait. */
  readonly #unanswered = new Map<string, { readonly commits: number; readonly untilMs: number }>();
  #lanes: readonly OutputLanes[] = [];
  #commits = 0;
  #commitMs = 0;

  constructor(parts: FleetStateParts) {
    this.#p = parts;
  }

  /** Called once, before a stream is opened. */
  deliverInto(lanes: readonly OutputLanes[]): void {
    this.#lanes = lanes;
  }

  /** Customers of which events wait because this program fails to deliver them. */
  get held(): readonly string[] {
    return [...new Set(this.#lanes.flatMap(({ held }) => held))];
  }

  /** What was committed here since the process began, and what of it waits. */
  get status(): Pick<FleetStatus, "commits" | "commitS" | "outputs"> {
    const outputs = this.#lanes.map(({ output, waiting }) => ({
      output,
      waitingPackets: waiting.packets,
      waitingBytes: waiting.bytes,
    }));
    return { commits: this.#commits, commitS: this.#commitMs / 1_000, outputs };
  }

  async open(key: StateKey): Promise<StreamStore> {
    const { store, member, shardOf, clock } = this.#p;
    const { commits = 0, untilMs = 0 } = this.#unanswered.get(nameOf(key)) ?? {};
    const waitMs = untilMs - clock.monotonicMs();
    if (waitMs > 0) throw unanswered(key.stream, commits, waitMs);
    const lease = member.leaseOf(shardOf(key.tenantId));
    if (lease === undefined) throw notOurs();
    const opened: FleetStream = await store.open(
      key,
      lease,
      this.#lanes.map(({ output }) => output),
      {
        committed: (stream, bytes) => {
          for (const lane of this.#lanes) lane.committed(stream, bytes);
        },
        lost: (lost) => member.lost(lost),
      },
    );
    // It may have been lost meanwhile: what it commits is refused then, and nobody would deliver it.
    if (member.leaseOf(lease.shard)?.epoch !== lease.epoch) throw notOurs();
    this.#streams.set(opened.id, { lease, store: opened.store });
    for (const lane of this.#lanes) lane.add(opened.id, lease, key.stanza);
    return this.#withRoom(opened, key);
  }

  /** Nothing of the shard is delivered here any more. `settles`: as of each lane. */
  async leave(lease: Lease, options: { readonly settles: boolean }): Promise<void> {
    const streams = [...this.#streams].filter(
      ([, one]) => one.lease.epoch === lease.epoch && one.lease.shard === lease.shard,
    );
    for (const [id, { store }] of streams) {
      this.#streams.delete(id);
      // A runner that saves nothing closes nothing. It waits for a commit, and nobody waits for that.
      void store.close();
    }
    const ids = streams.map(([id]) => id);
    await Promise.all(this.#lanes.map((lane) => lane.remove(ids, options)));
  }

  openTempFile(): Promise<TempFile> {
    return this.#p.local.openTempFile();
  }

  readFact(name: string): Promise<string | undefined> {
    return this.#p.local.readFact(name);
  }

  writeFact(name: string, value: string): Promise<void> {
    return this.#p.local.writeFact(name, value);
  }

  async release(options: { readonly orderly: boolean }): Promise<void> {
    try {
      await this.#p.member.leave();
    } finally {
      await this.#p.local.release(options);
    }
  }

  /** Notes whether the store answers: a commit without an answer interrupts the shard's other customers. */
  async #answered(key: StateKey, commit: () => Promise<void>): Promise<void> {
    const name = nameOf(key);
    try {
      await commit();
      this.#unanswered.delete(name);
    } catch (error) {
      if (isFailure(error) && error.code === "fleet-unsettled") {
        const { clock, random } = this.#p;
        const nowMs = clock.monotonicMs();
        const before = this.#unanswered.get(name);
        const isRecent = before !== undefined && nowMs - before.untilMs < UNANSWERED_REMEMBERED_FOR_MS;
        const commits = isRecent ? before.commits + 1 : 1;
        const excess = commits - UNANSWERED_WITHOUT_PAUSE;
        const waitMs = excess > 0 ? backoffMs(UNANSWERED_AGAIN, excess, random) : 0;
        this.#unanswered.set(name, { commits, untilMs: nowMs + waitMs });
      }
      throw error;
    }
  }

  /** The store's bodies have no bound of their own: an output that is slow or refuses holds up collection. */
  #withRoom({ id, store }: FleetStream, key: StateKey): StreamStore {
    const { reduce, joined, clock } = this.#p;
    return {
      key: store.key,
      lastStopWasOrderly: store.lastStopWasOrderly,
      keepsBodies: store.keepsBodies,
      joined,
      get checkpoint() {
        return store.checkpoint;
      },
      takeEntries: () => store.takeEntries(),
      commit: async ({ huge, pieces, ...page }: PageCommit) => {
        const reduced = huge === undefined || pieces === undefined ? [] : [await reduce(huge, pieces)];
        const deliveries = [...(page.deliveries ?? []), ...reduced];
        if (deliveries.length > 0) await Promise.all(this.#lanes.map((lane) => lane.room(id)));
        const beganMs = clock.monotonicMs();
        await this.#answered(key, () => store.commit({ ...page, deliveries }));
        this.#commits += 1;
        this.#commitMs += clock.monotonicMs() - beganMs;
      },
      flush: () => store.flush(),
      compact: (entries) => this.#answered(key, () => store.compact(entries)),
      close: () => store.close(),
    };
  }
}

function nameOf({ tenantId, stanza, stream }: StateKey): string {
  return `${tenantId}/${stanza}/${stream}`;
}

function notOurs(): Failure {
  return new Failure("fleet-fenced", {
    actor: "us",
    retry: { when: "later" },
    say: "This customer belongs to another member of the fleet now.",
  });
}
