import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { aborted } from "../../model/aborted.ts";
import type { Delivery } from "../../model/event.ts";
import { Failure } from "../../model/failure.ts";
import type {
  Confirmation,
  DamagedPacket,
  FleetStore,
  Lease,
  PacedReceiver,
  Standing,
  WaitingPacket,
} from "../../model/fleet.ts";
import type { StateFolder } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import { DeliveryLane, type DeliveryLaneParts } from "./delivery-lane.ts";
import { FleetState } from "./fleet-state.ts";
import { FleetMember } from "./member.ts";
import { OutputLanes } from "./output-lanes.ts";

const unreachable = new Failure("fleet-unreachable", {
  actor: "operator",
  retry: { when: "later" },
  say: "The database of fleet.url cannot be reached.",
});
const unsettled = new Failure("fleet-unsettled", { actor: "us", retry: { when: "later" }, say: "No answer." });
const refused = new Failure("fleet-refused", {
  actor: "operator",
  retry: { when: "later" },
  say: "The fleet's database refused a statement (XX001): invalid page.",
});
const outputFull = new Failure("output-full", {
  actor: "operator",
  retry: { when: "later" },
  say: "The disk is full.",
});

const NOTHING = {
  otherConfigurations: [],
  isDraining: false,
  hasOtherKey: false,
  clockAheadMs: 0,
  setAside: 0,
} as const;

/** A store with eight shards, whose failures a test sets. */
class FakeStore implements Pick<FleetStore, "register" | "renew" | "standing" | "claim" | "release" | "leave"> {
  members = 1;
  seen: Partial<Standing> = {};
  isMember = false;
  failure: Failure | undefined;
  claimFailure: Failure | undefined;
  registered = 0;
  closed = false;
  readonly owned = new Map<number, bigint>();
  readonly freed: number[] = [];
  readonly calls: string[] = [];

  #call(name: string): void {
    this.calls.push(name);
    if (this.failure !== undefined) throw this.failure;
  }
  async register() {
    this.#call("register");
    this.registered += 1;
    this.isMember = true;
  }
  async renew() {
    this.#call("renew");
    return this.isMember;
  }
  async standing() {
    this.#call("standing");
    const owned = [...this.owned].map(([shard, epoch]) => ({ shard, epoch }));
    return { members: this.members, shares: true, shards: 8, owned, ...NOTHING, ...this.seen };
  }
  async claim(most: number): Promise<readonly Lease[]> {
    this.#call("claim");
    const free = Array.from({ length: 8 }, (_, shard) => shard).filter((shard) => !this.owned.has(shard));
    const taken = free.slice(0, most).map((shard) => ({ shard, epoch: BigInt(this.calls.length) }));
    for (const { shard, epoch } of taken) this.owned.set(shard, epoch);
    if (this.claimFailure !== undefined) throw this.claimFailure;
    return taken;
  }
  async release(leases: readonly Lease[]) {
    this.#call("release");
    for (const { shard } of leases) {
      this.owned.delete(shard);
      this.freed.push(shard);
    }
  }
  async leave() {
    this.#call("leave");
    this.owned.clear();
  }
  async keepHouse() {
    this.#call("keepHouse");
  }
  async close() {
    this.closed = true;
  }
}

function memberOf(store: Pick<FakeStore, "register">, clock: FakeClock, held: readonly string[] = []): FleetMember {
  return new FleetMember({
    store: store as unknown as FleetStore,
    identity: { name: "one", version: "test", configHash: "x" },
    clock,
    random: { next: () => 0.5 },
    log: new FakeLog(),
    shardCount: 8,
    held: () => held,
  });
}

/**
 * @param dropping what giving a shard up takes.
 * @param failure what the database says when the member begins.
 */
async function joined(
  dropping: () => Promise<void> = () => Promise.resolve(),
  { failure: saidAtStart }: { readonly failure?: Failure } = {},
) {
  const clock = new FakeClock();
  const store = new FakeStore();
  store.failure = saidAtStart;
  const taken: number[] = [];
  const dropped: { shard: number; saves: boolean }[] = [];
  const reported: (string | undefined)[] = [];
  const said: (string | undefined)[] = [];
  const held: string[] = [];
  const missed: { shards: readonly number[]; code: string }[] = [];
  const member = memberOf(store, clock, held);
  const stop = new AbortController();
  await member.begin(stop.signal);
  const customers = {
    take: ({ shard }: Lease) => void taken.push(shard),
    drop: ({ shard }: Lease, { saves }: { readonly saves: boolean }) => {
      dropped.push({ shard, saves });
      return dropping();
    },
    report: (failure: Failure | undefined) => {
      reported.push(failure?.code);
      said.push(failure?.say);
    },
    miss: (shards: readonly number[], failure: Failure) => void missed.push({ shards, code: failure.code }),
    found: () => void missed.splice(0),
  };
  const ended = member.run(customers, stop.signal);
  const endedWith = ended.then(
    () => undefined,
    (error: unknown) => error,
  );
  await clock.advance(600);
  const end = async () => {
    stop.abort();
    await clock.advance(0);
    await endedWith;
    const left = member.leave();
    await clock.advance(2_000);
    await left;
  };
  /** This process gets no processor time, until its place has expired. */
  const stall = async (): Promise<void> => {
    store.isMember = false;
    clock.now += 9_000;
    await clock.advance(2_000);
  };
  return { clock, store, member, taken, dropped, reported, said, held, missed, stall, endedWith, end };
}

describe("a member of a fleet", () => {
  test("claims its share, and gives up what is above it when another one joins, saved first", async () => {
    const { clock, store, taken, dropped, member, end } = await joined();
    expect(taken).toHaveLength(8);
    store.members = 2;
    await clock.advance(2_000);

    expect(dropped).toHaveLength(4);
    expect(dropped.every(({ saves }) => saves)).toBe(true);
    expect(new Set(store.freed)).toEqual(new Set(dropped.map(({ shard }) => shard)));
    expect(member.shards).toBe(4);
    await end();
    expect(store.owned.size).toBe(0);
    expect(store.closed).toBe(true);
  });

  test("that the database does not confirm in time stops collecting, says so, and begins anew as another", async () => {
    const { clock, store, member, dropped, reported, taken, end } = await joined();
    store.failure = unreachable;
    await clock.advance(4_000);
    expect(dropped).toEqual([]);
    await clock.advance(2_000);

    expect(member.isAlive()).toBe(false);
    expect(dropped).toHaveLength(8);
    expect(dropped.every(({ saves }) => !saves)).toBe(true);
    expect(reported).toEqual(["fleet-unreachable"]);
    store.failure = undefined;
    store.owned.clear();
    await clock.advance(3_000);

    expect(store.registered).toBe(2);
    expect(taken).toHaveLength(16);
    expect(reported).toEqual(["fleet-unreachable", undefined]);
    await end();
  });

  test("whose place expired meanwhile owns nothing any more, although the database answers", async () => {
    const { clock, store, dropped, end } = await joined();
    store.isMember = false;
    await clock.advance(1_500);

    expect(dropped).toHaveLength(8);
    expect(dropped.every(({ saves }) => !saves)).toBe(true);
    await end();
  });

  test("says while packets are set aside or a customer's events cannot be delivered, and keeps its customers", async () => {
    const { clock, store, member, reported, held, end } = await joined();
    store.seen = { setAside: 2 };
    await clock.advance(1_000);
    expect(reported).toEqual(["fleet-set-aside"]);
    store.seen = {};
    held.push("customer");
    await clock.advance(1_000);
    expect(reported).toEqual(["fleet-set-aside", "fleet-undelivered"]);
    held.pop();
    await clock.advance(1_000);

    expect(reported).toEqual(["fleet-set-aside", "fleet-undelivered", undefined]);
    expect(member.shards).toBe(8);
    await end();
  });

  test("names the customers whose events wait now, also when they became others", async () => {
    const { clock, said, held, end } = await joined();
    held.push("one");
    await clock.advance(1_000);
    held.push("two");
    await clock.advance(1_000);

    expect(said).toEqual([expect.stringContaining("of one. "), expect.stringContaining("of one, two. ")]);
    await end();
  });

  test("that loses a shard gives it up in the store only when nothing of it runs any more, and claims it anew", async () => {
    const { clock, store, member, taken, dropped, end } = await joined();
    const lease = member.leaseOf(3) as Lease;
    member.lost(lease);
    member.lost(lease);
    expect(member.leaseOf(3)).toBeUndefined();
    await clock.advance(2_000);

    expect([member.lostShards, member.members]).toEqual([1, 1]);
    expect(dropped).toEqual([{ shard: 3, saves: false }]);
    expect(store.freed).toEqual([3]);
    expect(taken.filter((shard) => shard === 3)).toHaveLength(2);
    expect(member.leaseOf(3)?.epoch).toBeGreaterThan(lease.epoch);
    await end();
  });

  test("that loses a shard again and again claims it after pauses that grow, and keeps all others", async () => {
    const { clock, store, member, taken, end } = await joined();
    /** How long it takes until it is claimed again. */
    const lose = async (): Promise<number> => {
      const lease = member.leaseOf(3) as Lease;
      const lostAtMs = clock.monotonicMs();
      member.lost(lease);
      while (member.leaseOf(3) === undefined) await clock.advance(500);
      return clock.monotonicMs() - lostAtMs;
    };
    const pauses: number[] = [];
    for (let loss = 0; loss < 9; loss += 1) pauses.push(await lose());
    const others = taken.filter((shard) => shard !== 3);
    await clock.advance(700_000);
    const afterPeace = await lose();

    expect(pauses.slice(0, 2).every((ms) => ms <= 1_500)).toBe(true);
    const wanted = [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    expect(pauses.slice(2).map((ms, i) => ms - (wanted[i] as number))).toEqual(
      wanted.map(() => expect.closeTo(750, -3)),
    );
    expect(others).toHaveLength(7);
    expect(afterPeace).toBeLessThanOrEqual(1_500);
    expect(store.freed.filter((shard) => shard !== 3)).toEqual([]);
    await end();
  });

  test("takes what a claim without an answer gave it, so that nobody's shards stay without an owner", async () => {
    const { clock, store, member, taken, end } = await joined();
    store.owned.clear();
    for (const shard of [0, 1, 2]) member.lost(member.leaseOf(shard) as Lease);
    store.claimFailure = unsettled;
    await clock.advance(1_500);
    store.claimFailure = undefined;
    await clock.advance(2_000);

    expect(store.registered).toBe(1);
    expect(member.shards).toBe(8);
    for (const [shard, epoch] of store.owned) expect(member.leaseOf(shard)).toEqual({ shard, epoch });
    expect(new Set(taken).size).toBe(8);
    await end();
  });

  test("reads all of its customers again after a failover of the database, however short it was", async () => {
    const { clock, store, member, taken, dropped, end } = await joined();
    const before = Array.from({ length: 8 }, (_, shard) => member.leaseOf(shard) as Lease);
    // It does not say it at once, and not always.
    for (const timeline of [{}, { timeline: "00000001" }, {}, { timeline: "00000001" }]) {
      store.seen = timeline;
      await clock.advance(1_000);
    }
    expect(dropped).toEqual([]);
    store.seen = { timeline: "00000002" };
    await clock.advance(2_000);

    expect(dropped).toEqual(before.map(({ shard }) => ({ shard, saves: false })));
    expect(new Set(store.freed).size).toBe(8);
    for (const { shard, epoch } of before) expect(member.leaseOf(shard)?.epoch).toBeGreaterThan(epoch);
    expect([taken.length, member.lostShards, store.registered]).toEqual([16, 8, 1]);
    await clock.advance(5_000);
    expect(dropped).toHaveLength(8);
    await end();
  });

  test("gives up what the store has for somebody else, as after a restore from a backup", async () => {
    const { clock, store, member, dropped, end } = await joined();
    store.owned.delete(3);
    store.owned.set(4, 99n);
    await clock.advance(500);

    expect(dropped).toEqual([
      { shard: 3, saves: false },
      { shard: 4, saves: false },
    ]);
    await clock.advance(2_000);
    expect(member.shards).toBe(8);
    expect(member.leaseOf(4)?.epoch).not.toBe(1n);
    await end();
  });

  test("that shares no customers gives up all of them, saved first, and takes some when it shares again", async () => {
    const { clock, store, member, dropped, end } = await joined();
    store.seen = { shares: false, isDraining: true };
    await clock.advance(2_000);
    expect(member.shards).toBe(0);
    expect(dropped).toHaveLength(8);
    expect(dropped.every(({ saves }) => saves)).toBe(true);
    store.seen = {};
    await clock.advance(2_000);

    expect(member.shards).toBe(8);
    await end();
  });

  test("reports its customers after 30 seconds without the database, once, until the database answers", async () => {
    const { clock, store, missed, end } = await joined();
    store.failure = unreachable;
    await clock.advance(29_000);
    expect(missed).toEqual([]);
    await clock.advance(8_000);
    expect(missed).toEqual([{ shards: [0, 1, 2, 3, 4, 5, 6, 7], code: "fleet-unconfirmed" }]);
    await clock.advance(600_000);
    expect(missed).toHaveLength(1);
    store.failure = undefined;
    await clock.advance(3_000);

    expect(missed).toEqual([]);
    await end();
  });

  test("knows the time that all members share, whatever its host's clock says", async () => {
    const { clock, store, member, end } = await joined();
    store.seen = { clockAheadMs: 3_600_000 };
    clock.wallOffsetMs = 3_600_000;
    await clock.advance(1_000);

    expect(member.nowMs()).toBe(clock.now);
    await end();
  });

  test("reports that its configuration or its clock differs", async () => {
    const { clock, store, reported, end } = await joined();
    store.seen = { otherConfigurations: ["two"] };
    await clock.advance(1_000);
    store.seen = { clockAheadMs: -3_600_000 };
    await clock.advance(1_000);
    store.seen = { clockAheadMs: 59_000 };
    await clock.advance(1_000);

    expect(reported).toEqual(["fleet-configuration-differs", "fleet-clock-differs", undefined]);
    await end();
  });
});

describe("a member whose database does not answer when it starts", () => {
  test("waits with growing pauses, says so of itself and after 30 seconds of every customer, and joins when it answers", async () => {
    const { clock, store, member, reported, missed, taken, end } = await joined(undefined, { failure: unreachable });
    expect([reported, member.isAlive(), taken]).toEqual([["fleet-unreachable"], false, []]);
    await clock.advance(60_000);
    const tries = store.calls.length;
    expect(missed).toEqual([{ shards: [0, 1, 2, 3, 4, 5, 6, 7], code: "fleet-unconfirmed" }]);
    expect(tries).toBeLessThanOrEqual(11);
    store.failure = undefined;
    await clock.advance(11_000);

    expect([missed, member.isAlive(), taken]).toEqual([[], true, [0, 1, 2, 3, 4, 5, 6, 7]]);
    expect(reported).toEqual(["fleet-unreachable", undefined]);
    await clock.advance(10_000);
    expect(store.calls.filter((call) => call === "renew").length).toBeGreaterThanOrEqual(9);
    await end();
  });

  const wrongPassword = new Failure("fleet-unreachable", { actor: "operator", retry: { when: "never" }, say: "No." });
  test("ends at once where waiting cannot help", async () => {
    await expect(joined(undefined, { failure: wrongPassword })).rejects.toBe(wrongPassword);
  });

  test("and hangs does not hold up a stop, and nothing of the member goes on after it", async () => {
    const clock = new FakeClock();
    const store = new FakeStore();
    const member = memberOf(Object.assign(store, { register: () => new Promise(() => undefined) }), clock);
    const stop = new AbortController();
    const begun = member.begin(stop.signal);
    stop.abort("SIGTERM");

    await expect(begun).rejects.toBe("SIGTERM");
    await clock.advance(60_000);
    expect(store.calls).toEqual([]);
  });

  test("ends also later, when the database answers and waiting cannot help", async () => {
    const { clock, store, endedWith, end } = await joined(undefined, { failure: unreachable });
    store.failure = wrongPassword;
    await clock.advance(20_000);

    expect(await endedWith).toBe(wrongPassword);
    await end();
  });
});

describe("a member without processor time", () => {
  test("stays out for pauses that grow while others live, and says so also afterwards", async () => {
    const { clock, store, member, said, reported, missed, stall, end } = await joined();
    store.members = 2;
    for (const _ of [1, 2]) {
      await stall();
      expect(member.isAlive()).toBe(true);
    }
    const outMs: number[] = [];
    for (const _ of [3, 4, 5]) {
      const stalledAtMs = clock.monotonicMs();
      await stall();
      while (!member.isAlive()) await clock.advance(500);
      outMs.push(clock.monotonicMs() - stalledAtMs - 9_000);
      await clock.advance(2_000);
    }

    expect(outMs.map((ms) => Math.round(ms / 5_000))).toEqual([1, 2, 4]);
    expect(said.findLast((sentence) => sentence?.includes("expired 5 times"))).toMatch(
      /^This member had no processor time for \d+ s, .* it stays out of the fleet for 20 s, /,
    );
    expect([reported.at(-1), missed, member.lapses]).toEqual(["fleet-starved", [], 5]);
    await clock.advance(1_800_000);
    expect(reported.at(-1)).toBeUndefined();
    await stall();
    expect(member.isAlive()).toBe(true);
    await end();
  });

  test("joins at once where nobody else lives, and when the last other one is gone", async () => {
    const { clock, store, member, stall, end } = await joined();
    store.members = 0;
    for (const _ of [1, 2, 3, 4]) {
      await stall();
      expect(member.isAlive()).toBe(true);
    }
    store.members = 2;
    await stall();
    expect(member.isAlive()).toBe(false);
    store.members = 0;
    await clock.advance(1_500);

    expect(member.isAlive()).toBe(true);
    await end();
  });

  test("is not a member whose database was gone, however often", async () => {
    const { clock, store, member, reported, end } = await joined();
    store.members = 2;
    for (const _ of [1, 2, 3, 4]) {
      store.failure = unreachable;
      await clock.advance(9_000);
      store.isMember = false;
      store.failure = undefined;
      await clock.advance(2_000);
      expect(member.isAlive()).toBe(true);
    }
    expect([member.lapses, reported.includes("fleet-starved")]).toEqual([4, false]);
    await end();
  });
});

test("a member whose output hangs gives shards up after ten seconds all the same, claims none meanwhile and says so", async () => {
  const hung: (() => void)[] = [];
  const { clock, store, member, reported, end } = await joined(() => new Promise((resolve) => hung.push(resolve)));
  store.members = 2;
  await clock.advance(9_000);
  expect(store.freed).toEqual([]);
  await clock.advance(2_000);

  expect(store.freed).toHaveLength(4);
  store.members = 1;
  await clock.advance(2_000);
  expect(member.shards).toBe(4);
  expect(reported).toEqual(["fleet-output-hangs"]);
  for (const arrive of hung) arrive();
  await clock.advance(2_000);
  expect(member.shards).toBe(8);
  expect(reported).toEqual(["fleet-output-hangs", undefined]);
  await end();
});

test("a member whose place expired while its output hangs joins again only when nothing hangs, so that others take its part", async () => {
  const hung: (() => void)[] = [];
  const { clock, store, member, reported, missed, end } = await joined(
    () => new Promise((resolve) => hung.push(resolve)),
  );
  store.failure = unreachable;
  await clock.advance(7_000);
  expect(member.isAlive()).toBe(false);
  store.failure = undefined;
  await clock.advance(20_000);
  expect(store.registered).toBe(1);
  await clock.advance(40_000);
  expect([reported.at(-1), missed.length]).toEqual(["fleet-output-hangs", 1]);
  for (const arrive of hung) arrive();
  await clock.advance(2_000);

  expect(store.registered).toBe(2);
  expect(member.shards).toBe(8);
  expect([reported.at(-1), missed]).toEqual([undefined, []]);
  await end();
});

test("a member that fails to begin a customer for a reason of this program ends, and keeps no silent customers", async () => {
  const clock = new FakeClock();
  const member = memberOf(new FakeStore(), clock);
  const stop = new AbortController();
  await member.begin(stop.signal);
  const defect = new TypeError("no such customer");
  const customers = {
    take: () => {
      throw defect;
    },
    drop: async () => undefined,
    report: () => undefined,
    miss: () => undefined,
    found: () => undefined,
  };
  let ended: unknown;
  void member.run(customers, stop.signal).catch((error: unknown) => (ended = error));
  await clock.advance(1_000);

  expect(ended).toBe(defect);
  const left = member.leave();
  await clock.advance(2_000);
  await left;
});

describe("a lane to one output", () => {
  const deliveryOf = (key: string) => ({ key }) as unknown as Delivery;
  const lease: Lease = { shard: 1, epoch: 5n };

  function opened(packets: WaitingPacket[], more: Partial<DeliveryLaneParts> = {}, pace?: PacedReceiver) {
    const clock = new FakeClock();
    const log = new FakeLog();
    const written: string[] = [];
    const stanzas: string[] = [];
    const progress = new Map<number, bigint>();
    const it = {
      clock,
      log,
      written,
      stanzas,
      progress,
      packets,
      alive: true,
      /** What the store takes confirmations of. */
      epoch: lease.epoch,
      writeFailure: undefined as Failure | undefined,
      confirmFailure: undefined as Failure | undefined,
      beforeConfirm: async () => undefined as void,
      receiverFailure: undefined as Failure | undefined,
      beforeWrite: async () => undefined as void,
      /** While the store answers what waits. */
      whileAsked: async () => undefined as void,
      askFailure: undefined as Failure | undefined,
      /** For how many bytes at most. */
      asked: [] as number[],
      /** A key on which this program fails. */
      defectOf: undefined as string | undefined,
      setAside: [] as readonly DamagedPacket[],
      setAsideFailure: undefined as Failure | undefined,
    };
    const lane = new DeliveryLane({
      output: "json-lines-1",
      sink: {
        pace,
        write: async (batch) => {
          await it.beforeWrite();
          if (it.writeFailure !== undefined) throw it.writeFailure;
          if (batch.some(({ key }) => key === it.defectOf)) throw new TypeError("a defect of the format");
          written.push(...batch.map(({ key }) => key));
          stanzas.push(...batch.map(({ stanza }) => stanza));
          return 1;
        },
      },
      store: {
        waiting: async (_, streams, mostBytes) => {
          it.asked.push(mostBytes);
          if (it.askFailure !== undefined) throw it.askFailure;
          const found = packets
            .filter(({ stream, seq }) => streams.includes(stream) && seq > (progress.get(stream) ?? 0n))
            .slice(0, mostBytes === 1 ? 1 : 2);
          await it.whileAsked();
          return found;
        },
        setAside: async (damaged) => {
          if (it.setAsideFailure !== undefined) throw it.setAsideFailure;
          it.setAside = [...it.setAside, ...damaged];
        },
        confirm: async (_, confirmations: readonly Confirmation[]) => {
          await it.beforeConfirm();
          if (it.confirmFailure !== undefined) throw it.confirmFailure;
          const valid = confirmations.filter(({ epoch }) => epoch === it.epoch);
          for (const { stream, seq } of valid) progress.set(stream, seq);
          return valid.map(({ stream }) => stream);
        },
      },
      isAlive: () => it.alive,
      accepts: () => undefined,
      backlogMostBytes: 2_000,
      receiverFailure: () => it.receiverFailure,
      ...more,
      clock,
      log,
    });
    return { ...it, it, lane };
  }

  const packetsOf = (...seqs: readonly bigint[]): WaitingPacket[] =>
    seqs.map((seq) => ({ stream: 1, seq, epoch: 1n, bytes: 1, deliveries: [deliveryOf(`v${seq}`)] }));

  test("delivers what waited and what is committed, in order, and moves the progress after it", async () => {
    const { lane, clock, packets, written, progress } = opened(packetsOf(1n, 2n, 3n));
    lane.add(1, lease, "customer");
    await clock.advance(1_000);
    expect(written).toEqual(["v1", "v2", "v3"]);
    packets.push(...packetsOf(4n, 5n));
    lane.committed(1, 1);
    lane.committed(1, 1);
    expect(lane.waiting).toEqual({ packets: 2, bytes: 2 });
    await clock.advance(1_000);
    expect(lane.waiting).toEqual({ packets: 0, bytes: 0 });

    expect(written).toEqual(["v1", "v2", "v3", "v4", "v5"]);
    expect(progress.get(1)).toBe(5n);
    await lane.close(1_000);
  });

  test("the memory of a packet is given back once its output is done with it, also when that refuses it", async () => {
    const { it, lane, clock, packets } = opened([]);
    let given = 0;
    const [packet] = packetsOf(1n) as [WaitingPacket];
    packets.push({ ...packet, done: () => (given += 1) });
    const writes: (() => void)[] = [];
    it.beforeWrite = () => new Promise((resolve) => writes.push(resolve));
    it.writeFailure = unreachable;
    lane.add(1, lease, "customer");
    await clock.advance(1_000);
    expect([writes.length, given]).toEqual([1, 0]);
    writes.shift()?.();
    await clock.advance(0);
    expect(given).toBe(1);
    it.writeFailure = undefined;
    await clock.advance(5_000);
    expect([writes.length, given]).toEqual([1, 1]);
    writes.shift()?.();
    await clock.advance(0);
    expect(given).toBe(2);
    await lane.close(1_000);
  });

  test("what waited under an older name of its customer is delivered under the present one", async () => {
    const { lane, clock, packets, stanzas } = opened([]);
    const deliveries = [{ ...deliveryOf("v1"), stanza: "older" }];
    packets.push({ stream: 1, seq: 1n, epoch: 1n, bytes: 1, deliveries });
    lane.add(1, lease, "customer");
    await clock.advance(1_000);

    expect(stanzas).toEqual(["customer"]);
    await lane.close(1_000);
  });

  test("a damaged packet is set aside before the progress passes it, and what follows it is delivered", async () => {
    const { it, lane, clock, packets, written, progress, log } = opened([]);
    packets.push(
      { stream: 1, seq: 1n, epoch: 1n, bytes: 0, deliveries: [], damage: "Unknown frame descriptor" },
      ...packetsOf(2n),
    );
    it.setAsideFailure = unreachable;
    lane.add(1, lease, "customer");
    await clock.advance(1_500);
    expect([written, progress.get(1)]).toEqual([[], undefined]);
    it.setAsideFailure = undefined;
    await clock.advance(30_000);

    expect(written).toEqual(["v2"]);
    expect(progress.get(1)).toBe(2n);
    expect(it.setAside).toMatchObject([{ stream: 1, seq: 1n, epoch: 5n, damage: "Unknown frame descriptor" }]);
    expect(log.lines.filter(({ level, message }) => level === "error" && message.includes("damaged"))).toHaveLength(1);
    await expect(lane.room(1)).resolves.toBeUndefined();
    await lane.close(1_000);
  });

  test("a damaged packet is named in the log once, however often the output refuses what came with it", async () => {
    const { it, lane, clock, packets, written, log } = opened([]);
    packets.push(
      { stream: 1, seq: 1n, epoch: 5n, bytes: 0, deliveries: [], damage: "Unknown frame descriptor" },
      ...packetsOf(2n),
    );
    it.writeFailure = outputFull;
    lane.add(1, lease, "customer");
    await clock.advance(100_000);
    expect(it.setAside.length).toBeGreaterThan(1);
    it.writeFailure = undefined;
    await clock.advance(100_000);

    expect(written).toEqual(["v2"]);
    expect(log.lines.filter(({ message }) => message.includes("damaged"))).toHaveLength(1);
    await lane.close(1_000);
  });

  test("a packet that this program fails to deliver holds up its own stream alone, and is tried again", async () => {
    const { it, lane, clock, packets, written, progress, log } = opened([]);
    it.defectOf = "v2";
    packets.push(...packetsOf(1n, 2n, 3n), {
      stream: 2,
      seq: 1n,
      epoch: 1n,
      bytes: 1,
      deliveries: [deliveryOf("other")],
    });
    lane.add(1, lease, "customer");
    lane.add(2, lease, "other");
    await clock.advance(200_000);

    expect(written).toEqual(["v1", "other"]);
    expect(progress.get(1)).toBe(1n);
    expect(lane.held).toEqual(["customer"]);
    await expect(lane.room(1)).rejects.toThrow("a defect of the format");
    await expect(lane.room(2)).resolves.toBeUndefined();
    expect(log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    it.defectOf = undefined;
    await clock.advance(61_000);

    expect(written).toEqual(["v1", "other", "v2", "v3"]);
    expect(lane.held).toEqual([]);
    await expect(lane.room(1)).resolves.toBeUndefined();
    await lane.close(1_000);
  });

  test("a stream of a batch that failed is alone up to its last packet there, and then others go on", async () => {
    const { it, lane, clock, packets, written } = opened([]);
    it.defectOf = "bad";
    packets.push(
      ...packetsOf(1n),
      { stream: 3, seq: 1n, epoch: 1n, bytes: 1, deliveries: [deliveryOf("bad")] },
      { stream: 2, seq: 1n, epoch: 1n, bytes: 1, deliveries: [deliveryOf("other")] },
      ...packetsOf(2n, 3n, 4n),
    );
    for (const [i, stanza] of ["busy", "other", "bad"].entries()) lane.add(i + 1, lease, stanza);
    await clock.advance(5_000);

    expect(written).toEqual(["v1", "other", "v2", "v3", "v4"]);
    expect(lane.held).toEqual(["bad"]);
    await lane.close(1_000);
  });

  test("a stream that is given up while the store answers with its packets alone hides no packets of others", async () => {
    const { it, lane, clock, written } = opened([
      ...packetsOf(1n, 2n),
      { stream: 2, seq: 1n, epoch: 1n, bytes: 1, deliveries: [deliveryOf("other")] },
    ]);
    it.whileAsked = async () => {
      it.whileAsked = async () => undefined;
      void lane.remove([1]);
    };
    lane.add(1, lease, "customer");
    lane.add(2, lease, "other");
    await clock.advance(5_000);

    expect(written).toEqual(["other"]);
    await lane.close(1_000);
  });

  test("a database that answers all but what waits is said in the log, and commits are held up", async () => {
    const { it, lane, clock, written, log } = opened(packetsOf(1n));
    // The member says while it cannot be reached, and one refusal after that is not lasting.
    it.askFailure = unreachable;
    lane.add(1, lease, "customer");
    await clock.advance(40_000);
    it.askFailure = refused;
    await clock.advance(31_000);
    await expect(lane.room(1)).resolves.toBeUndefined();
    await clock.advance(100_000);
    await expect(lane.room(1)).rejects.toBe(refused);
    expect(log.lines.filter(({ message }) => message === refused.say)).toHaveLength(1);
    it.askFailure = undefined;
    await clock.advance(30_000);

    expect(written).toEqual(["v1"]);
    await expect(lane.room(1)).resolves.toBeUndefined();
    await lane.close(1_000);
  });

  test("a lane with a stream that is held up closes all the same", async () => {
    const { it, lane, clock, written } = opened(packetsOf(1n));
    it.defectOf = "v1";
    lane.add(1, lease, "customer");
    await clock.advance(5_000);
    let closed = false;
    const closing = lane.close(600_000).then(() => (closed = true));
    await clock.advance(1_000);

    expect([closed, written]).toEqual([true, []]);
    await closing;
  });

  test("that may send so much in a second waits before it reads anything, and gives customers up meanwhile", async () => {
    let mayGo: () => void = () => undefined;
    let ended = 0;
    const pace: PacedReceiver = {
      bytesAtOnce: 700,
      acquireSlot: (stop) =>
        Promise.race([
          new Promise<() => void>((resolve) => (mayGo = () => resolve(() => (ended += 1)))),
          aborted(stop).then(() => undefined),
        ]),
    };
    const { lane, clock, written, asked } = opened(packetsOf(1n, 2n, 3n), {}, pace);
    lane.add(1, lease, "customer");
    await clock.advance(60_000);
    expect([asked, written]).toEqual([[], []]);
    mayGo();
    await clock.advance(1_000);
    expect([asked, written, ended > 0]).toEqual([[700], ["v1", "v2"], true]);
    // What waits for a slot is not on its way.
    await lane.remove([1]);
    mayGo();
    await clock.advance(60_000);

    expect(written).toEqual(["v1", "v2"]);
    await lane.close(1_000);
  });

  test("that gives customers up before it waits for a slot does not wait for one", async () => {
    let slots = 1;
    const pace: PacedReceiver = {
      bytesAtOnce: 700,
      acquireSlot: async (stop) => {
        slots -= 1;
        if (slots < 0) await aborted(stop);
        return stop.aborted ? undefined : () => undefined;
      },
    };
    const { it, lane, clock, written } = opened(packetsOf(1n, 2n), {}, pace);
    it.confirmFailure = unreachable;
    lane.add(1, lease, "customer");
    await clock.advance(500);
    it.confirmFailure = undefined;
    let confirmed: () => void = () => undefined;
    it.beforeConfirm = () => new Promise((resolve) => (confirmed = resolve));
    await clock.advance(1_000);
    let isRemoved = false;
    const removed = lane.remove([1]).then(() => (isRemoved = true));
    confirmed();
    await clock.advance(60_000);

    expect([isRemoved, written]).toEqual([true, ["v1", "v2"]]);
    await lane.close(1_000);
    await removed;
  });

  test("sends nothing while others may take this member for gone", async () => {
    const { it, lane, clock, written } = opened(packetsOf(1n));
    it.alive = false;
    lane.add(1, lease, "customer");
    await clock.advance(5_000);
    expect(written).toEqual([]);
    it.alive = true;
    await clock.advance(2_000);

    expect(written).toEqual(["v1"]);
    await lane.close(1_000);
  });

  test("an output that refuses holds up commits with its own failure, and gets everything when it can", async () => {
    const { it, lane, clock, written, log } = opened(packetsOf(1n, 2n));
    it.writeFailure = outputFull;
    lane.add(1, lease, "customer");
    await clock.advance(5_000);
    await expect(lane.room(1)).rejects.toBe(outputFull);
    expect(log.lines.filter(({ message }) => message === outputFull.say)).toHaveLength(1);
    it.writeFailure = undefined;
    await clock.advance(30_000);

    await lane.room(1);
    expect(written).toEqual(["v1", "v2"]);
    await lane.close(1_000);
  });

  test("an output that refused only what is another member's by now is tried again by the next commit", async () => {
    const { it, lane, clock, packets, written } = opened(packetsOf(1n));
    lane.add(2, lease, "customer");
    await clock.advance(500);
    it.writeFailure = outputFull;
    lane.add(1, lease, "customer");
    await clock.advance(500);
    await expect(lane.room(1)).rejects.toBe(outputFull);
    await lane.remove([1]);
    it.writeFailure = undefined;
    await clock.advance(60_000);

    await expect(lane.room(1)).resolves.toBeUndefined();
    packets.push({ stream: 2, seq: 1n, epoch: 1n, bytes: 1, deliveries: [deliveryOf("later")] });
    lane.committed(2, 1);
    await clock.advance(2_000);
    expect(written).toEqual(["later"]);
    await lane.close(1_000);
  });

  test("of what was delivered and could not be confirmed only the confirmation is tried again", async () => {
    const { it, lane, clock, written, progress } = opened(packetsOf(1n));
    it.confirmFailure = unreachable;
    lane.add(1, lease, "customer");
    await clock.advance(20_000);
    await lane.room(1);
    it.confirmFailure = undefined;
    await clock.advance(30_000);

    expect(written).toEqual(["v1"]);
    expect(progress.get(1)).toBe(1n);
    await lane.close(1_000);
  });

  test("a stream whose confirmation is refused because another member has it is delivered here no more", async () => {
    const { it, lane, clock, packets, written } = opened(packetsOf(1n));
    it.epoch = 6n;
    lane.add(1, lease, "customer");
    await clock.advance(5_000);
    expect(written).toEqual(["v1"]);
    it.epoch = 7n;
    packets.push(...packetsOf(2n));
    lane.add(1, { ...lease, epoch: 7n }, "customer");
    await clock.advance(1_000);

    expect(written).toEqual(["v1", "v1", "v2"]);
    await lane.close(1_000);
  });

  test("a stream that is removed is waited for while it is on its way, and nothing of it is sent after that", async () => {
    const { it, lane, clock, packets, written } = opened(packetsOf(1n));
    let arrive: () => void = () => undefined;
    it.beforeWrite = () => new Promise<void>((resolve) => (arrive = resolve));
    lane.add(1, lease, "customer");
    await clock.advance(100);
    let removed = false;
    const removing = lane.remove([1]).then(() => (removed = true));
    await clock.advance(100);
    expect(removed).toBe(false);
    arrive();
    await removing;
    packets.push(...packetsOf(2n));
    lane.committed(1, 1);
    await clock.advance(5_000);

    expect(written).toEqual(["v1"]);
    await lane.close(1_000);
  });

  test("too much that waits holds up commits until it is delivered, and a close ends that wait", async () => {
    const { it, lane, clock } = opened(packetsOf(1n));
    it.alive = false;
    lane.add(1, lease, "customer");
    for (let n = 0; n < 2_000; n += 1) lane.committed(1, 1);
    let hasRoom = false;
    const room = lane.room(1).then(() => (hasRoom = true));
    await clock.advance(5_000);
    expect(hasRoom).toBe(false);
    const closing = lane.close(1_000);
    await clock.advance(2_000);
    await closing;
    await room;

    expect(hasRoom).toBe(true);
  });

  test("too much that waits for a receiver that is down fails commits with the reason, and counts until it is delivered", async () => {
    const { it, lane, clock, packets } = opened(packetsOf(1n));
    it.alive = false;
    lane.add(1, lease, "customer");
    lane.committed(1, 2_000);
    it.receiverFailure = outputFull;
    await expect(lane.room(1)).rejects.toBe(outputFull);
    it.alive = true;
    packets[0] = { ...(packets[0] as WaitingPacket), bytes: 2_000 };
    await clock.advance(2_000);

    await expect(lane.room(1)).resolves.toBeUndefined();
    await lane.close(0);
  });

  test("those whose commits a full backlog refused hear when there is room again, and no one else does", async () => {
    const heard: (readonly string[])[] = [];
    const { it, lane, clock, packets } = opened([], { accepts: (stanzas) => heard.push([...stanzas].toSorted()) });
    it.beforeWrite = () => (it.receiverFailure === undefined ? Promise.resolve() : Promise.reject(unreachable));
    it.receiverFailure = outputFull;
    packets.push({ stream: 1, seq: 1n, epoch: 1n, bytes: 2_000, deliveries: [deliveryOf("v1")] });
    for (const [stream, stanza] of [
      [1, "customer"],
      [2, "other"],
      [3, "without news"],
    ] as const)
      lane.add(stream, lease, stanza);
    lane.committed(1, 2_000);
    await expect(lane.room(1)).rejects.toBe(outputFull);
    await expect(lane.room(2)).rejects.toBe(outputFull);
    await clock.advance(60_000);
    expect(heard).toEqual([]);
    // The receiver is back, and has taken nothing yet.
    it.alive = false;
    it.receiverFailure = undefined;
    packets.push({ stream: 3, seq: 1n, epoch: 1n, bytes: 10, deliveries: [deliveryOf("v2")] });
    lane.committed(3, 10);
    await clock.advance(10_000);
    expect(heard).toEqual([]);
    it.alive = true;
    await clock.advance(60_000);

    expect(heard).toEqual([["customer", "other"]]);
    await lane.close(1_000);
  });

  test("those whose commits failed with the output's own failure hear when it accepts events again", async () => {
    const heard: (readonly string[])[] = [];
    const { it, lane, clock } = opened(packetsOf(1n, 2n), { accepts: (stanzas) => heard.push([...stanzas]) });
    it.writeFailure = outputFull;
    lane.add(1, lease, "customer");
    await clock.advance(60_000);
    await expect(lane.room(1)).rejects.toBe(outputFull);
    await clock.advance(60_000);
    expect(heard).toEqual([]);
    it.writeFailure = undefined;
    await clock.advance(30_000);

    expect(heard).toEqual([["customer"]]);
    await lane.close(1_000);
  });

  test("a customer whose stream was held up hears when it goes on, and those that others filled the room of when they leave", async () => {
    const heard: (readonly string[])[] = [];
    const { it, lane, clock } = opened(packetsOf(1n), { accepts: (stanzas) => heard.push([...stanzas]) });
    it.defectOf = "v1";
    lane.add(1, lease, "customer");
    await clock.advance(1_000);
    await expect(lane.room(1)).rejects.toThrow("a defect of the format");
    it.defectOf = undefined;
    await clock.advance(61_000);
    expect(heard).toEqual([["customer"]]);

    it.alive = false;
    it.receiverFailure = outputFull;
    lane.add(2, lease, "other");
    lane.committed(1, 2_000);
    await expect(lane.room(2)).rejects.toBe(outputFull);
    await lane.remove([1]);
    await clock.advance(2_000);
    expect(heard).toEqual([["customer"], ["other"]]);
    await lane.close(1_000);
  });

  test("those whose commits failed because of what is another member's by now hear that nothing is in their way", async () => {
    const heard: (readonly string[])[] = [];
    const { it, lane, clock } = opened(packetsOf(1n), { accepts: (stanzas) => heard.push([...stanzas]) });
    it.writeFailure = outputFull;
    lane.add(1, lease, "customer");
    lane.add(2, lease, "other");
    await clock.advance(500);
    await expect(lane.room(2)).rejects.toBe(outputFull);
    await lane.remove([1]);
    await clock.advance(60_000);

    expect(heard).toEqual([["other"]]);
    await lane.close(1_000);
  });

  test("a stream whose receiver confirms too late is given up after its time, and what is confirmed later counts under its lease only", async () => {
    const { it, lane, clock, written, progress } = opened(packetsOf(1n), { removeWithinMs: 5_000 });
    let arrive: () => void = () => undefined;
    it.beforeWrite = () => new Promise<void>((resolve) => (arrive = resolve));
    lane.add(1, lease, "customer");
    await clock.advance(100);
    let removed = false;
    const removing = lane.remove([1]).then(() => (removed = true));
    await clock.advance(4_000);
    expect(removed).toBe(false);
    await clock.advance(2_000);
    await removing;
    it.epoch = 6n;
    it.beforeWrite = async () => undefined;
    lane.add(1, { ...lease, epoch: 6n }, "customer");
    arrive();
    await clock.advance(1_000);

    // The second time under the new lease: with an equal key.
    expect(written).toEqual(["v1", "v1"]);
    expect(progress.get(1)).toBe(1n);
    await lane.close(0);
  });

  test("a close waits no longer than it may for a receiver that confirms nothing, and nothing counts as delivered", async () => {
    const { it, lane, clock, progress, log } = opened(packetsOf(1n));
    let fail: (why: unknown) => void = () => undefined;
    it.beforeWrite = () => new Promise<void>((_, reject) => (fail = reject));
    lane.add(1, lease, "customer");
    await clock.advance(100);
    const closing = lane.close(1_000);
    await clock.advance(2_000);
    await closing;
    fail(outputFull);
    await lane.ended();

    expect(progress.get(1)).toBeUndefined();
    expect(log.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("a commit for a stream that was given up waits for no room, also where others fill it", async () => {
    const { it, lane, clock } = opened([]);
    it.alive = false;
    it.packets.push(...packetsOf(1n));
    lane.add(1, lease, "customer");
    lane.add(2, lease, "other");
    lane.committed(1, 2_000);
    let hasRoom = false;
    const room = lane.room(2).then(() => (hasRoom = true));
    await clock.advance(1_000);
    expect(hasRoom).toBe(false);
    const removing = lane.remove([2]);
    await clock.advance(1_000);

    // The store refuses it: it must not keep the customer's collection from its end.
    expect(hasRoom).toBe(true);
    const closing = lane.close(0);
    await clock.advance(1_000);
    await Promise.all([closing, room, removing]);
  });

  test("what waits of a stream that is another's by now holds up nobody", async () => {
    const { it, lane } = opened([]);
    it.alive = false;
    lane.add(1, lease, "customer");
    for (let n = 0; n < 2_000; n += 1) lane.committed(1, 1);
    await lane.remove([1]);
    for (let n = 0; n < 2_000; n += 1) lane.committed(1, 1);

    await expect(lane.room(1)).resolves.toBeUndefined();
    await lane.close(0);
  });
});

describe("all lanes to one output", () => {
  const lease: Lease = { shard: 1, epoch: 5n };

  test("a stream whose delivery takes its time holds up no stream of another lane, and its own packets keep their order", async () => {
    const clock = new FakeClock();
    const written: string[] = [];
    const waits = new Map<number, WaitingPacket[]>();
    const packet = (stream: number, seq: bigint): WaitingPacket => ({
      stream,
      seq,
      epoch: 1n,
      bytes: 1,
      deliveries: [{ key: `${stream}/${seq}` } as unknown as Delivery],
    });
    let arrive: () => void = () => undefined;
    const lanes = new OutputLanes({
      output: "hec-1",
      lanes: 2,
      backlogMostBytes: 100,
      sink: {
        write: async (batch) => {
          if (batch.some(({ key }) => key === "1/1")) await new Promise<void>((resolve) => (arrive = resolve));
          written.push(...batch.map(({ key }) => key));
          return 1;
        },
      },
      store: {
        waiting: async (_, streams) => streams.flatMap((stream) => waits.get(stream)?.slice(0, 1) ?? []),
        confirm: async (_, confirmations) => {
          for (const { stream, seq } of confirmations)
            waits.set(stream, waits.get(stream)?.filter((one) => one.seq > seq) ?? []);
          return confirmations.map(({ stream }) => stream);
        },
        setAside: async () => undefined,
      },
      isAlive: () => true,
      accepts: () => undefined,
      clock,
      log: new FakeLog(),
    });
    for (const stream of [1, 2]) {
      waits.set(stream, [packet(stream, 1n), packet(stream, 2n)]);
      lanes.add(stream, lease, "customer");
    }
    await clock.advance(3_000);
    expect(written).toEqual(["2/1", "2/2"]);
    arrive();
    await clock.advance(3_000);

    expect(written).toEqual(["2/1", "2/2", "1/1", "1/2"]);
    // Half of the room for each of two lanes.
    lanes.committed(2, 60);
    let hasRoom = false;
    void lanes.room(2).then(() => (hasRoom = true));
    await expect(lanes.room(1)).resolves.toBeUndefined();
    expect(hasRoom).toBe(false);
    await lanes.remove([2]);
    await clock.advance(1_000);
    expect(hasRoom).toBe(true);
    await lanes.close(1_000);
    await lanes.ended();
  });
});

test("a member counts its commits, how long they took, and what of them waits for each output", async () => {
  const clock = new FakeClock();
  const lease: Lease = { shard: 1, epoch: 5n };
  const stream = {
    id: 1,
    lease,
    store: { commit: () => clock.pause(250), checkpoint: undefined },
  } as unknown as Awaited<ReturnType<FleetStore["open"]>>;
  const state = new FleetState({
    local: {} as StateFolder,
    store: { open: async () => stream } as unknown as FleetStore,
    member: { leaseOf: () => lease } as unknown as FleetMember,
    clock,
    random: { next: () => 0.5 },
    shardOf: () => 1,
    reduce: () => Promise.reject(new Error("nothing is huge here")),
    joined: (batches) => batches,
  });
  const waiting = { packets: 2, bytes: 100 };
  state.deliverInto([{ output: "hec-a", waiting, add: () => undefined } as unknown as OutputLanes]);
  const store = await state.open({ stanza: "a", tenantId: "t" as TenantId, stream: "alerts" });
  for (let n = 0; n < 2; n += 1) {
    const committed = store.commit({});
    await clock.advance(250);
    await committed;
  }

  expect(state.status).toEqual({
    commits: 2,
    commitS: 0.5,
    outputs: [{ output: "hec-a", waitingPackets: 2, waitingBytes: 100 }],
  });
});

test("a customer whose commits got no answer long ago does not wait after one more, as after a failover", async () => {
  const clock = new FakeClock();
  const lease: Lease = { shard: 1, epoch: 5n };
  const commit = () => Promise.reject(unsettled);
  const state = new FleetState({
    local: {} as StateFolder,
    store: { open: async () => ({ id: 1, lease, store: { commit } }) } as unknown as FleetStore,
    member: { leaseOf: () => lease } as unknown as FleetMember,
    clock,
    random: { next: () => 0.5 },
    shardOf: () => 1,
    reduce: () => Promise.reject(new Error("nothing is huge here")),
    joined: (batches) => batches,
  });
  const key = { stanza: "a", tenantId: "t" as TenantId, stream: "alerts" } as const;
  const fails = async () => expect((await state.open(key)).commit({})).rejects.toBe(unsettled);
  for (let n = 0; n < 3; n += 1) await fails();
  await expect(state.open(key)).rejects.toMatchObject({ code: "fleet-unsettled" });
  // It was another member's meanwhile.
  await clock.advance(3_600_000);
  for (let n = 0; n < 3; n += 1) await fails();

  await expect(state.open(key)).rejects.toMatchObject({ code: "fleet-unsettled" });
});

test("what the store keeps of a shard's streams ends when the shard is given up, also without saving", async () => {
  const lease: Lease = { shard: 1, epoch: 5n };
  let nextId = 1;
  const closed: number[] = [];
  const open = async (): Promise<unknown> => {
    const id = nextId++;
    return { id, lease, store: { close: async () => void closed.push(id) } };
  };
  const state = new FleetState({
    local: {} as StateFolder,
    store: { open } as unknown as FleetStore,
    member: { leaseOf: () => lease } as unknown as FleetMember,
    clock: new FakeClock(),
    random: { next: () => 0.5 },
    shardOf: () => 1,
    reduce: () => Promise.reject(new Error("nothing is huge here")),
    joined: (batches) => batches,
  });
  for (const stanza of ["a", "b"]) await state.open({ stanza, tenantId: "t" as TenantId, stream: "alerts" });
  await state.leave({ shard: 1, epoch: 4n }, { settles: false });
  expect(closed).toEqual([]);
  await state.leave(lease, { settles: false });

  expect(closed).toEqual([1, 2]);
});
