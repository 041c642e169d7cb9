/**
 * Random worlds: from a seed, customers whose lists grow and change, a service that fails in every way the
 * engine must survive, and a process that crashes, stops and restarts in between. At the end everything the
 * service showed must have arrived once.
 */

import { Failure } from "../../../src/model/failure.ts";
import type { StreamName } from "../../../src/model/stream.ts";
import { T0 } from "../fakes/clock.ts";
import { FakeRandom } from "../fakes/random.ts";
import {
  HOUR,
  judge,
  MINUTE,
  type Regime,
  type Sent,
  SimStream,
  serviceError,
  throttledUntil,
  ticks,
  type Version,
  World,
} from "./world.ts";

/**
 * `narrow`: one stream of one customer. `wide`: up to three customers with up to two streams each, which
 * share the sink; besides, connections that break, pages smaller than the clamp, contents that change under
 * the same version, and rows that are many hours late. Each has its own random numbers, so that a saved seed
 * of one stays the same when the other grows.
 */
export type Breadth = "narrow" | "wide";

export interface WorldReport {
  /** One line per fault found: `lost alert-7`; empty when all is well. */
  readonly faults: readonly string[];
  readonly arrived: number;
  /** What happened, step by step, for whoever looks into a seed. */
  readonly story: readonly string[];
}

/** Steps from one state of the service to the next; a crash or a stop ends about every other one. */
const STEPS = 25;
/** What a pipe or socket may still hold when it breaks. */
const LOST_AT_MOST = 12;
/** Less than an hour, after which what was written counts as arrived. */
const LOST_FOR_MS = 50 * MINUTE;
/** A sweep each hour, with the poll before it. */
const SWEPT_WITHIN_MS = 75 * MINUTE;
const GROUPS = ["a", "b", "c", "d"] as const;

/** Lives through the world of this seed and judges what arrived. */
export async function liveThrough(seed: number, breadth: Breadth): Promise<WorldReport> {
  const world = new RandomWorld(seed, breadth);
  return world.live();
}

/** One stream with what its world needs to know to let it grow. */
interface Member {
  readonly tenantId: string;
  readonly stream: SimStream;
  readonly sweepHours: number;
  live: number;
}

class RandomWorld {
  readonly #world = new World();
  readonly #random: FakeRandom;
  readonly #wideRandom: FakeRandom;
  readonly #isWide: boolean;
  readonly #isDurable: boolean;
  readonly #members: Member[] = [];
  readonly #arrived: Sent[] = [];
  readonly #story: string[] = [];

  constructor(seed: number, breadth: Breadth) {
    this.#random = new FakeRandom(seed * 7919 + 13);
    for (let i = 0; i < 10; i++) this.#random.next();
    this.#wideRandom = new FakeRandom(seed * 104_729 + 7);
    for (let i = 0; i < 10; i++) this.#wideRandom.next();
    this.#isWide = breadth === "wide";
    this.#world.random = new FakeRandom(seed);
    this.#found();
    this.#isDurable = this.#random.below(4) === 0;
    if (this.#isDurable) this.#world.sink.kind = "durable";
  }

  async live(): Promise<WorldReport> {
    const { clock } = this.#world;
    await this.#world.start();
    for (let step = 0; step < STEPS; step++) await this.#step();
    this.#backoff();
    await clock.advance(3 * HOUR);
    this.#arrived.push(...this.#world.sink.sent);
    return { faults: this.#faults(), arrived: this.#arrived.length, story: this.#story };
  }

  #pick<T>(...choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T;
  }

  #pickWide<T>(...choices: readonly T[]): T {
    return choices[this.#wideRandom.below(choices.length)] as T;
  }

  /** Customers, their streams, and what those held before the first start. */
  #found(): void {
    this.#foundCustomer();
    if (!this.#isWide) return;
    for (let more = this.#wideRandom.below(3); more > 0; more--) this.#foundCustomer();
  }

  #foundCustomer(): void {
    const world = this.#world;
    const main = this.#foundStream("alerts");
    main.answerTakesMs = this.#pick(0, 50, 400);
    world.replayMib = this.#pick(16, 0.05, 0.2);
    const sweepHours = this.#pick(24, 24, 0);
    const settings = { pollSeconds: this.#pick(60, 60, 300), overlapMinutes: 30, sweepHours };
    const startMs = this.#pick(7 * 24, 2) * HOUR;
    const streams = [main];
    if (this.#isWide && this.#wideRandom.below(2) === 0) streams.push(this.#foundStream("incidents"));
    const customer = world.customer(main, { settings, start: { kind: "ago", ms: startMs }, sources: streams });
    for (const stream of streams) {
      stream.add(...this.#past(startMs));
      this.#members.push({ tenantId: customer.tenant.id, stream, sweepHours, live: 0 });
    }
    this.#tell(`${customer.tenant.name}: ${JSON.stringify({ settings, startMs, replayMib: world.replayMib })}`);
    for (const { name, regime, versions } of streams)
      this.#tell(`  ${name}: ${versions.length} versions, ${JSON.stringify(regime)}`);
  }

  #foundStream(name: StreamName): SimStream {
    const clamp = this.#pick(5, 13, 50, 1000);
    const regime: Regime = {
      order: this.#pick("ascending", "ascending", "descending", "none"),
      links: this.#pick(true, false),
      clamp,
      pageTop: this.#pick(clamp, 1000),
      skipMax: this.#pick(20, 60, 500),
    };
    const pageTop = this.#isWide
      ? this.#pickWide(regime.pageTop, regime.pageTop, Math.ceil(clamp / 2))
      : regime.pageTop;
    const stream = new SimStream(this.#world.clock, { name, regime: { ...regime, pageTop } });
    stream.limits = { perMinute: 100_000 };
    return stream;
  }

  /** Six days, with crowds of one instant. */
  #past(startMs: number): Version[] {
    const past: Version[] = [];
    const count = this.#pick(30, 200, 800);
    for (let i = 0; i < count; i++) {
      const atMs = T0 - this.#random.below(6 * 24 * HOUR);
      if (T0 - atMs > startMs - MINUTE) continue;
      const updatedMs = this.#random.below(3) === 0 ? atMs - (atMs % (6 * HOUR)) + HOUR : atMs;
      const updated = ticks(updatedMs, this.#random.below(3));
      past.push({ id: `old-${i}`, updated, created: ticks(atMs), visibleAtMs: 0, group: this.#pick(...GROUPS) });
    }
    return past.filter((version) => version.updated >= ticks(T0 - startMs + MINUTE));
  }

  /** What is raised and changed in the time to come; some of it is shown late. */
  #grow(member: Member, forMs: number): void {
    const fromMs = this.#world.clock.now;
    for (let i = this.#random.below(40); i > 0; i--) {
      const atMs = fromMs + this.#random.below(Math.max(1, forMs));
      const lateMs = this.#pick(0, 0, 5_000, 20_000, this.#random.below(28 * MINUTE));
      const id =
        this.#random.below(4) === 0 && member.live > 0
          ? `live-${this.#random.below(member.live)}`
          : `live-${member.live++}`;
      const version: Version = {
        id,
        updated: ticks(atMs, this.#random.below(9)),
        created: ticks(atMs),
        visibleAtMs: atMs + lateMs,
        group: this.#pick(...GROUPS),
      };
      member.stream.add(version);
      if (!this.#isWide) continue;
      // The same version again with other contents: it was sent and is not sent twice.
      if (this.#wideRandom.below(12) === 0)
        member.stream.add({
          ...version,
          text: "changed",
          visibleAtMs: version.visibleAtMs + this.#wideRandom.below(20 * MINUTE),
        });
      if (member.sweepHours > 0 && this.#wideRandom.below(30) === 0) {
        const hoursLateMs = this.#wideRandom.below(12 * HOUR);
        member.stream.add({ ...version, id: `late-${member.live++}`, visibleAtMs: version.visibleAtMs + hoursLateMs });
      }
    }
  }

  #growAll(forMs: number): void {
    for (const member of this.#members) this.#grow(member, forMs);
  }

  async #step(): Promise<void> {
    const { clock } = this.#world;
    const act = this.#random.below(10);
    const spanMs = this.#pick(2_000, 20_000, 3 * MINUTE, 20 * MINUTE, 2 * HOUR);
    this.#growAll(spanMs);
    for (const { stream } of this.#members) this.#failureText(stream);
    this.#failAll();
    await clock.advance(spanMs);
    if (this.#isWide && !this.#isDurable && this.#wideRandom.below(6) === 0) await this.#breakConnection();
    if (act < 3) await this.#crash();
    else if (act < 5) await this.#stop();
    else return;
    this.#world.state.isFull = false;
    const downMs = this.#pick(0, 5_000, 10 * MINUTE, 3 * HOUR, 40 * HOUR);
    this.#growAll(downMs + 1);
    await clock.advance(downMs);
    this.#tell("starts");
    await this.#world.start();
  }

  #failureText(stream: SimStream): void {
    const random = this.#random;
    const { clock } = this.#world;
    const fault = this.#pick<[string, SimStream["fault"]]>(
      ["none", undefined],
      ["none", undefined],
      ["none", undefined],
      ["some answers", () => (random.below(6) === 0 ? serviceError() : undefined)],
      ["every answer", () => serviceError()],
      ["throttled", () => (random.below(8) === 0 ? throttledUntil(clock.nowMs() + 20_000) : undefined)],
    );
    stream.fault = fault[1];
    stream.midPage =
      random.below(4) === 0
        ? (_question, n) => (n > 0 && random.below(12) === 0 ? serviceError() : undefined)
        : undefined;
    stream.partial = random.below(8) === 0 ? () => (random.below(5) === 0 ? "P" : undefined) : undefined;
    this.#tell(
      `  ${stream.name}: faults ${fault[0]}, in pages ${stream.midPage !== undefined}, partial ${stream.partial !== undefined}`,
    );
  }

  /** Disk, sink and clocks. One clock is wrong at a time, or nobody could say what the time is. */
  #failAll(): void {
    const random = this.#random;
    const { clock, sink, state } = this.#world;
    state.isFull = random.below(8) === 0 && !this.#isDurable;
    sink.break =
      random.below(4) === 0
        ? () => (random.below(10) === 0 ? { arrives: 0, failure: outputFull() } : undefined)
        : undefined;
    const serverOffsetMs = random.below(8) === 0 ? this.#pick(0, 0, 5 * HOUR, -5 * HOUR, 5 * MINUTE) : 0;
    for (const { stream } of this.#members) stream.serverOffsetMs = serverOffsetMs;
    if (random.below(10) === 0 && serverOffsetMs === 0) clock.wallOffsetMs = this.#pick(0, HOUR, -HOUR);
    if (serverOffsetMs !== 0) clock.wallOffsetMs = 0;
    this.#tell(
      `disk full ${state.isFull}, sink fails ${sink.break !== undefined}, wall clock ${clock.wallOffsetMs} ms, service's ${serverOffsetMs} ms`,
    );
  }

  #backoff(): void {
    const { sink, state } = this.#world;
    sink.break = undefined;
    state.isFull = false;
    for (const { stream } of this.#members) {
      stream.serverOffsetMs = 0;
      stream.fault = stream.midPage = stream.partial = undefined;
    }
  }

  async #crash(): Promise<void> {
    await this.#world.kill();
    const lost = this.#isDurable ? [] : this.#lastUnsure(this.#random.below(LOST_AT_MOST));
    this.#tell(`crashes; did not arrive: ${lost.map((sent) => sent.id).join(" ")}`);
    this.#take(lost.length);
  }

  async #stop(): Promise<void> {
    await this.#world.stop();
    this.#tell("stops normally");
    this.#take(0);
  }

  /** What was written last does not arrive; the process notices it and continues. */
  async #breakConnection(): Promise<void> {
    const lost = this.#lastUnsure(this.#wideRandom.below(LOST_AT_MOST));
    this.#world.sink.sent.length -= lost.length;
    const again = this.#world.scheduler.replayProvisional();
    this.#tell(
      `connection breaks; did not arrive: ${lost.map((sent) => sent.id).join(" ")}; ${again} are to be sent again`,
    );
    await this.#world.clock.advance(this.#pickWide(0, 1_000, 5 * MINUTE));
  }

  /** The last `most` or fewer of what was written so lately that it may be lost. */
  #lastUnsure(most: number): Sent[] {
    const { sent } = this.#world.sink;
    const unsure = sent.filter((one) => one.atMs > this.#world.clock.now - LOST_FOR_MS).length;
    return sent.slice(sent.length - Math.min(most, unsure));
  }

  /** Everything but the last `lost` arrived. */
  #take(lost: number): void {
    const { sent } = this.#world.sink;
    this.#arrived.push(...sent.slice(0, sent.length - lost));
    sent.length = 0;
  }

  #faults(): string[] {
    const sweptForSureMs = this.#world.clock.now - SWEPT_WITHIN_MS;
    return this.#members.flatMap(({ tenantId, stream }) => {
      // Only the sweep sees what is later than the overlap.
      for (const [key, version] of stream.shown)
        if (version.id.startsWith("late-") && version.visibleAtMs > sweptForSureMs) stream.shown.delete(key);
      const arrived = this.#arrived.filter((sent) => sent.tenantId === tenantId && sent.stream === stream.name);
      return Object.entries(judge(stream, arrived)).flatMap(([fault, which]) => which.map((one) => `${fault} ${one}`));
    });
  }

  #tell(what: string): void {
    this.#story.push(`${new Date(this.#world.clock.now).toISOString()} ${what}`);
  }
}

function outputFull(): Failure {
  return new Failure("output-full", { actor: "operator", retry: { when: "later" }, say: "Full." });
}
