/**
 * The way of a fleet's packets to Kafka, with everything between the store and the network: members that
 * fight for a shard, answers that are lost, and what a reader with `read_committed` sees.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { OutputLanes } from "../../src/collect/fleet/output-lanes.ts";
import { ConcurrencyLimiter } from "../../src/model/concurrency-limiter.ts";
import { Failure } from "../../src/model/failure.ts";
import type { Confirmation, FleetStore, WaitingPacket } from "../../src/model/fleet.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import type { KafkaClient, KafkaTransactions } from "../../src/outputs/kafka.ts";
import { type KafkaEvent, KafkaTooLarge } from "../../src/outputs/kafka-error.ts";
import { KafkaShards } from "../../src/outputs/kafka-shards.ts";
import type { KafkaWriterParts } from "../../src/outputs/kafka-writer.ts";
import { RejectedEvents } from "../../src/outputs/rejected.ts";
import { OutputsSink } from "../../src/outputs/sink.ts";
import { FakeClock } from "../harness/fakes/clock.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { newFolder } from "../harness/fakes/receiver.ts";
import { deliveriesOf } from "../harness/postgres/fleet.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const SHARD = 1;
const ROUNDS = Number(process.env["FLEET_KAFKA_ROUNDS"] ?? 20);

const folders: string[] = [];
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** What PostgreSQL keeps of a shard: packets, present epoch, the output's progress. It asks for no name. */
class OneShard {
  epoch = 1n;
  readonly progress = new Map<number, bigint>();
  packets: WaitingPacket[] = [];
  /** Packets that one answer holds at most. */
  most = 3;
  #events = 0;

  commit(stream: number, events = 1, epoch = this.epoch): void {
    const numbers = Array.from({ length: events }, () => (this.#events += 1));
    const seq = BigInt(this.packets.filter((one) => one.stream === stream).length + 1);
    this.packets.push({ stream, seq, epoch, bytes: 100, deliveries: deliveriesOf(TENANT, numbers) });
  }

  get events(): number {
    return this.#events;
  }

  get waiting(): readonly WaitingPacket[] {
    return this.packets.filter(({ stream, seq }) => seq > (this.progress.get(stream) ?? 0n));
  }

  /** As one member sees it. */
  seenBy(member: { canConfirm: boolean }): Pick<FleetStore, "waiting" | "confirm" | "setAside"> {
    return {
      waiting: async (_, streams, mostBytes) =>
        this.waiting.filter(({ stream }) => streams.includes(stream)).slice(0, mostBytes === 1 ? 1 : this.most),
      confirm: async (_, confirmations: readonly Confirmation[]) => {
        if (!member.canConfirm) throw unreachable();
        const valid = confirmations.filter(({ epoch }) => epoch === this.epoch);
        for (const { stream, seq } of valid) this.progress.set(stream, seq);
        return valid.map(({ stream }) => stream);
      },
      setAside: async () => undefined,
    };
  }
}

/** What happens to a member's next transaction. */
type Outcome = "committed" | "committed-unheard" | "lost";

/** No network: only the promise of transactions, and of transactional ids. */
class FakeKafka {
  readonly committed: KafkaEvent[] = [];
  readonly watermarks = new Map<string, Buffer>();
  readonly opened: string[] = [];
  readonly #epochs = new Map<string, number>();
  isUp = true;
  mostBytes = Number.POSITIVE_INFINITY;

  client(member: Member): KafkaClient {
    return {
      open: (parts) => this.#open(parts, member),
      isFenced: (error) => error instanceof Error && error.message === "fenced",
      failure: (error) => ({ failure: unreachable(String(error)), needsPerson: false }),
      sharedId: () => unreachable("another collector has this id"),
    };
  }

  get texts(): readonly string[] {
    return this.committed.map(({ value }) => value.toString("utf8")).filter((text) => !text.startsWith("health"));
  }

  async #open(
    { transactionalId: id, watermarkKey, watermarkPartition, stop }: KafkaWriterParts,
    member: Member,
  ): Promise<KafkaTransactions> {
    if (!this.isUp) throw new Error("down");
    this.opened.push(`${member.name} ${id}`);
    const epoch = (this.#epochs.get(id) ?? 0) + 1;
    this.#epochs.set(id, epoch);
    let isUsable = true;
    return {
      watermark: this.watermarks.get(watermarkKey),
      watermarkPartition: watermarkPartition ?? 0,
      get isUsable() {
        return isUsable;
      },
      canRead: () => Promise.resolve(true),
      close: () => void (isUsable = false),
      commit: async (events: readonly KafkaEvent[], watermark: Buffer) => {
        await member.mayGo;
        const outcome = member.outcomes.shift() ?? "committed";
        const alone = events.filter(({ value }) => value.length > this.mostBytes);
        const isFenced = this.#epochs.get(id) !== epoch;
        if (isFenced || alone.length > 0 || outcome !== "committed" || stop.aborted || !isUsable) {
          const isCommitted = !isFenced && alone.length === 0 && outcome === "committed-unheard" && isUsable;
          isUsable = false;
          if (!isCommitted)
            throw alone.length > 0 ? new KafkaTooLarge(alone) : new Error(isFenced ? "fenced" : outcome);
        }
        // The memory is used again.
        this.committed.push(...events.map((one) => ({ ...one, value: Buffer.from(one.value) })));
        this.watermarks.set(watermarkKey, watermark);
        if (outcome === "committed-unheard") throw new Error("no answer");
      },
    };
  }
}

interface Member {
  readonly name: string;
  /** Its transactions wait for it. */
  mayGo: Promise<void>;
  readonly outcomes: Outcome[];
  canConfirm: boolean;
  isAlive: boolean;
}

function unreachable(say = "gone"): Failure {
  return new Failure("fleet-unreachable", { actor: "operator", retry: { when: "later" }, say, nextStep: "Wait." });
}

function world() {
  const clock = new FakeClock();
  const kafka = new FakeKafka();
  const store = new OneShard();
  /** A process of the fleet. */
  const member = (name: string) => {
    const folder = newFolder();
    folders.push(folder);
    const log = new FakeLog();
    const it: Member = { name, mayGo: Promise.resolve(), outcomes: [], canConfirm: true, isAlive: true };
    const output = new KafkaShards({
      name: "outputs[0]",
      where: "kafka.example:9093 topic th-cef",
      topic: "th-cef",
      watermarkTopic: "watermarks",
      recordFormat: "cef",
      compression: "none",
      access: { brokers: ["kafka.example:9093"], protocol: "tls", sasl: "none" },
      spoolBytes: 1_000_000,
      stateName: "kafka-1",
      rejected: new RejectedEvents(folder, fs, clock),
      clock,
      random: FakeRandom.always(),
      log,
      transactionalId: "defender-mssp.main.kafka-1",
      member: name,
      shards: 256,
      client: async () => kafka.client(it),
    });
    const format = {
      id: "keys",
      delivery: (out: { text(text: string): void }, { key }: { readonly key: string }) => out.text(`${key}\n`),
      health: (out: { text(text: string): void }) => out.text("health\n"),
      notice: () => undefined,
    };
    const sink = new OutputsSink([{ output, format }], () => clock.nowMs(), log);
    const lanes = new OutputLanes({
      output: "kafka-1",
      sink,
      store: store.seenBy(it),
      lanes: 2,
      laneBy: "shard",
      limiter: new ConcurrencyLimiter(4),
      backlogMostBytes: 1_000_000,
      removeWithinMs: 5_000,
      isAlive: () => it.isAlive,
      accepts: () => undefined,
      clock,
      log,
    });
    ends.push(async () => {
      it.mayGo = Promise.resolve();
      const closing = Promise.all([lanes.close(0), output.close(0)]).then(() => lanes.ended());
      for (let isOver = false; !isOver; ) {
        clock.endPauses();
        isOver = await Promise.race([closing.then(() => true), clock.advance(0).then(() => false)]);
      }
    });
    return Object.assign(it, {
      lanes,
      output,
      sink,
      log,
      /** Claims the shard; whoever had it hears nothing of that. */
      claim(...streams: readonly number[]) {
        store.epoch += 1n;
        for (const stream of streams) lanes.add(stream, { shard: SHARD, epoch: store.epoch }, "Contoso");
      },
      committed(stream: number, events?: number) {
        store.commit(stream, events);
        lanes.committed(stream, 100);
      },
    });
  };
  return { clock, kafka, store, member };
}

function standstill(): { readonly closed: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  return { closed: new Promise((resolve) => (open = resolve)), open: () => open() };
}

describe("packets of a fleet on their way to Kafka", () => {
  test("are committed once, in their order, with one transactional id and one watermark partition per shard", async () => {
    const { clock, kafka, store, member } = world();
    const one = member("one");
    store.commit(1, 2);
    store.commit(2);
    one.claim(1, 2);
    await clock.advance(3_000);

    expect(kafka.texts).toHaveLength(3);
    expect(new Set(kafka.texts).size).toBe(3);
    expect(kafka.opened).toEqual(["one defender-mssp.main.kafka-1.1"]);
    expect(store.waiting).toEqual([]);
  });

  test("shut nobody out before something waits", async () => {
    const { clock, kafka, member } = world();
    member("one").claim(1, 2);
    await clock.advance(10_000);

    expect(kafka.opened).toEqual([]);
  });

  test("of a suspended member are refused when it goes on, and are committed once by the one that took over", async () => {
    const { clock, kafka, store, member } = world();
    const [old, successor] = [member("old"), member("successor")];
    const suspended = standstill();
    old.mayGo = suspended.closed;
    store.commit(1, 2);
    old.claim(1);
    await clock.advance(2_000);
    successor.claim(1);
    await clock.advance(2_000);
    expect(kafka.texts).toHaveLength(2);
    // It believes that it is alive, and takes the shard back from its owner as often as it can.
    suspended.open();
    for (let n = 0; n < 5; n += 1) {
      successor.committed(1);
      old.lanes.committed(1, 100);
      await clock.advance(1_500);
    }
    await clock.advance(120_000);

    expect([kafka.texts.length, new Set(kafka.texts).size]).toEqual([7, 7]);
    expect(store.waiting).toEqual([]);
  });

  test("that are in a committed transaction, but not confirmed in the store, are not sent again after a takeover", async () => {
    const { clock, kafka, store, member } = world();
    const [killed, successor] = [member("killed"), member("successor")];
    killed.canConfirm = false;
    store.commit(1, 2);
    store.commit(2);
    killed.claim(1, 2);
    await clock.advance(2_000);
    expect([kafka.texts.length, store.waiting.length]).toEqual([3, 2]);
    killed.isAlive = false;
    store.commit(1);
    successor.claim(1, 2);
    await clock.advance(5_000);

    expect([kafka.texts.length, new Set(kafka.texts).size, store.waiting.length]).toEqual([4, 4, 0]);
  });

  test("stay known to Kafka although the next member asks for fewer at once", async () => {
    const { clock, kafka, store, member } = world();
    const [first, second, third] = [member("first"), member("second"), member("third")];
    first.canConfirm = false;
    for (let n = 0; n < 3; n += 1) store.commit(1);
    first.claim(1);
    await clock.advance(2_000);
    first.isAlive = false;
    store.most = 2;
    // Its transaction holds the other stream's packet, and its confirmations are lost.
    store.commit(2);
    store.packets.reverse();
    store.packets.splice(1, 3, ...store.packets.slice(1).reverse());
    second.canConfirm = false;
    second.claim(2, 1);
    await clock.advance(4_000);
    second.isAlive = false;
    third.claim(1, 2);
    await clock.advance(5_000);

    expect([kafka.texts.length, new Set(kafka.texts).size, store.waiting.length]).toEqual([4, 4, 0]);
  });

  test("whose transaction was committed without an answer are not sent again", async () => {
    const { clock, kafka, store, member } = world();
    const one = member("one");
    one.outcomes.push("committed-unheard", "lost");
    store.commit(1, 2);
    one.claim(1);
    await clock.advance(2_000);
    one.committed(1);
    await clock.advance(10_000);

    expect([kafka.texts.length, new Set(kafka.texts).size, store.waiting.length]).toEqual([3, 3, 0]);
  });

  test("with numbers that a restored database gave again are sent, and no old watermark hides them", async () => {
    const { clock, kafka, store, member } = world();
    const [before, after] = [member("before"), member("after")];
    before.canConfirm = false;
    store.commit(1, 2);
    before.claim(1);
    await clock.advance(2_000);
    before.isAlive = false;
    // The backup is older than the packet; another one gets its number.
    store.packets = [];
    store.epoch = 100n;
    store.commit(1, 2, 101n);
    after.claim(1);
    await clock.advance(3_000);

    expect([kafka.texts.length, new Set(kafka.texts).size, store.waiting.length]).toEqual([4, 4, 0]);
  });

  test("that were damaged and can be read again are sent, although Kafka has what follows them", async () => {
    const { clock, kafka, store, member } = world();
    const [before, after] = [member("before"), member("after")];
    for (let n = 0; n < 2; n += 1) store.commit(1);
    const whole = store.packets[0] as WaitingPacket;
    store.packets[0] = { ...whole, deliveries: [], damage: "a checksum differs" };
    before.canConfirm = false;
    before.claim(1);
    await clock.advance(2_000);
    expect(kafka.texts).toHaveLength(1);
    before.isAlive = false;
    store.packets[0] = whole;
    after.claim(1);
    await clock.advance(3_000);

    expect([kafka.texts.length, new Set(kafka.texts).size, store.waiting.length]).toEqual([2, 2, 0]);
  });

  test("wait in the store while Kafka is down, which is said once, and are committed once when it is back", async () => {
    const { clock, kafka, store, member } = world();
    const one = member("one");
    kafka.isUp = false;
    store.commit(1);
    one.claim(1);
    await clock.advance(30_000);
    expect(one.output.condition().state).toBe("down");
    kafka.isUp = true;
    await clock.advance(120_000);

    expect([kafka.texts.length, store.waiting.length, one.output.condition().state]).toEqual([1, 0, "up"]);
  });

  test("that the topic takes no event of that size for are kept aside, and the others are committed once", async () => {
    const { clock, kafka, store, member } = world();
    const one = member("one");
    store.commit(1, 9);
    store.commit(1, 2);
    // The keys of the last two have one figure more.
    kafka.mostBytes = `${TENANT}:alerts:alert:1`.length;
    one.claim(1);
    await clock.pass(20_000);

    expect([kafka.texts.length, store.waiting.length, one.output.condition().rejected]).toEqual([9, 0, 2]);
  });

  test("that can neither be sent nor kept aside are said to wait, and are kept aside when the disk takes them", async () => {
    const { clock, kafka, store, member } = world();
    const one = member("one");
    const inTheWay = join(folders.at(-1) as string, "rejected");
    fs.writeFileSync(inTheWay, "");
    store.commit(1, 10);
    kafka.mostBytes = `${TENANT}:alerts:alert:1`.length;
    one.claim(1);
    await clock.pass(20_000);
    expect([one.output.condition().state, kafka.texts.length]).toEqual(["down", 0]);
    expect(kafka.opened.length).toBeLessThan(5);
    fs.rmSync(inTheWay);
    await clock.pass(200_000);

    expect([one.output.condition().state, kafka.texts.length, store.waiting.length]).toEqual(["up", 9, 0]);
    expect(one.output.condition().rejected).toBe(1);
  });

  test("let health through on an id of the member's own", async () => {
    const { clock, kafka, member } = world();
    const one = member("host one");
    one.outcomes.push("lost");
    await one.sink.health({ input: "Contoso" } as never);
    await one.sink.health({ input: "Contoso" } as never);
    await clock.advance(5_000);

    expect(kafka.committed.map(({ value }) => value.toString())).toEqual(["health", "health"]);
    expect(new Set(kafka.opened)).toEqual(new Set(["host one defender-mssp.main.kafka-1.health.host_one"]));
  });

  test("let one event of health after another through without a new sign-in to Kafka", async () => {
    const { clock, kafka, member } = world();
    const one = member("one");
    for (let n = 0; n < 3; n += 1) {
      await one.sink.health({ input: "Contoso" } as never);
      await clock.advance(5_000);
    }

    expect(kafka.committed).toHaveLength(3);
    expect(kafka.opened).toEqual(["one defender-mssp.main.kafka-1.health.one"]);
  });

  test("that a member gives up while their transaction hangs leave no failure behind at it", async () => {
    const { clock, kafka, member, store } = world();
    const one = member("one");
    one.outcomes.push("lost");
    store.commit(1);
    one.claim(1);
    await clock.advance(100);
    // The second attempt hangs until the member has left.
    const hanging = standstill();
    one.mayGo = hanging.closed;
    await clock.advance(5_000);
    const removed = one.lanes.remove([1]);
    await clock.advance(6_000);
    await removed;
    hanging.open();
    await clock.advance(5_000);

    expect(kafka.texts).toEqual([]);
    expect(one.output.condition()).toMatchObject({ state: "up" });
    expect(one.output.condition().failure).toBeUndefined();
  });

  test("of a shard whose loss is learnt from the store keep no writer open once it is left", async () => {
    const { clock, store, member } = world();
    const [one, two] = [member("one"), member("two")];
    one.canConfirm = false;
    store.commit(1);
    one.claim(1);
    await clock.advance(2_000);
    two.claim(1);
    one.canConfirm = true;
    await clock.advance(10_000);
    expect([store.waiting, one.output.packets.isOpen(SHARD)]).toEqual([[], true]);
    await one.lanes.remove([1]);

    expect(one.output.packets.isOpen(SHARD)).toBe(false);
  });

  test("are committed once and in order, whatever happens to two members that fight for the shard", async () => {
    for (let seed = 1; seed <= ROUNDS; seed += 1) {
      const random = new FakeRandom(seed);
      const { clock, kafka, store, member } = world();
      const streams = [1, 2, 3];
      const both = [member("one"), member("two")];
      for (let step = 0; step < 40; step += 1) {
        const it = both[random.below(2)] as (typeof both)[number];
        store.most = 1 + random.below(4);
        const faults = [
          () => it.claim(...streams),
          () => it.committed(streams[random.below(3)] as number, 1 + random.below(3)),
          () => it.committed(streams[random.below(3)] as number),
          () =>
            void it.outcomes.push((["committed-unheard", "lost", "committed"] as const)[random.below(3)] as Outcome),
          () => void (it.canConfirm = random.below(2) === 0),
          () => void (it.isAlive = random.below(3) > 0),
          () => void it.lanes.remove(streams),
          () => {
            const held = standstill();
            it.mayGo = held.closed;
            void clock.pause(random.below(4_000)).then(held.open);
          },
          () => void (kafka.isUp = random.below(4) > 0),
        ];
        (faults[random.below(faults.length)] as () => void)();
        await clock.advance(random.below(1_500));
      }
      kafka.isUp = true;
      for (const it of both) Object.assign(it, { canConfirm: true, mayGo: Promise.resolve(), isAlive: false });
      const last = member("three");
      last.claim(...streams);
      await clock.advance(300_000);

      const texts = kafka.texts;
      const order = store.packets
        .filter(({ stream }) => stream === 1)
        .flatMap(({ deliveries }) => deliveries.map(({ key }) => key));
      expect({ seed, count: texts.length, distinct: new Set(texts).size, waiting: store.waiting.length }).toEqual({
        seed,
        count: store.events,
        distinct: store.events,
        waiting: 0,
      });
      expect(texts.filter((text) => order.includes(text))).toEqual(order);
      for (const end of ends.splice(0)) await end();
    }
  });
});
