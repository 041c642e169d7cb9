/**
 * Each operation of the disk under the outputs that keep events, failing once and for long: the output goes
 * on, somebody hears of it, and every event arrives.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { HecNetwork, hecParts } from "../../test/harness/fakes/hec.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { brokenDisk, errno, newFolder, Receiver } from "../../test/harness/fakes/receiver.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { HecOutput } from "./hec.ts";
import { KafkaOutput } from "./kafka.ts";
import { type KafkaEvent, KafkaTooLarge } from "./kafka-error.ts";
import type { Batch, Output } from "./output.ts";
import { RejectedEvents } from "./rejected.ts";
import { SyslogOutput } from "./syslog.ts";

type Operation = keyof Disk;

/** The real disk, of which chosen calls fail with EIO. */
class FailingDisk {
  /** How often each operation was called since `arm`. */
  readonly calls = new Map<Operation, number>();
  failed = 0;
  readonly #broken = brokenDisk();

  get disk(): Disk {
    return this.#broken.disk;
  }

  arm(fails: (operation: Operation, nth: number) => boolean): void {
    this.calls.clear();
    const operations = Object.keys(fs) as Operation[];
    this.#broken.failing = Object.fromEntries(operations.map((one) => [one, () => this.#errorOf(one, fails)]));
  }

  heal(): void {
    this.#broken.failing = {};
  }

  #errorOf(operation: Operation, fails: (operation: Operation, nth: number) => boolean) {
    const nth = (this.calls.get(operation) ?? 0) + 1;
    this.calls.set(operation, nth);
    if (!fails(operation, nth)) return undefined;
    this.failed += 1;
    return errno("EIO");
  }
}

/** A receiver with the output that leads to it. */
interface Bench {
  open(disk: Disk, folder: string, log: FakeLog): Output;
  /** What arrived, in the order in which it did. */
  arrived(): readonly string[];
  isUp: boolean;
}

const NAME = "outputs[0]";
const URL = "https://a.example:8088";
/** Too large for Kafka, and no event for HEC. */
const REFUSED = "refused";

function hecBench(clock: FakeClock): Bench {
  const network = new HecNetwork(clock);
  network.indexer(URL);
  return {
    open: (disk, folder, log) =>
      new HecOutput(hecParts({ urls: [URL], ack: "on", spoolBytes: 1 << 20, network, clock, folder, disk, log })),
    arrived: () => network.indexed,
    get isUp() {
      return network.down.size === 0;
    },
    set isUp(isUp) {
      if (isUp) network.down.clear();
      else network.down.add(URL);
    },
  };
}

function kafkaBench(clock: FakeClock): Bench {
  const committed: KafkaEvent[] = [];
  let watermark: Buffer | undefined;
  const failure = (error: unknown) =>
    new Failure("output-unreachable", {
      actor: "operator",
      retry: { when: "later" },
      say: String(error),
      nextStep: "Wait.",
    });
  const bench = {
    isUp: true,
    arrived: () => committed.map(({ value }) => value.toString("utf8")),
    open: (disk: Disk, folder: string, log: FakeLog) =>
      new KafkaOutput({
        name: NAME,
        where: "kafka.example:9093 topic th-cef",
        topic: "th-cef",
        watermarkTopic: "watermarks",
        transactionalId: undefined,
        recordFormat: "cef",
        compression: "none",
        access: { brokers: ["kafka.example:9093"], protocol: "tls", sasl: "none" },
        client: () =>
          Promise.resolve({
            open: async () => {
              if (!bench.isUp) throw new Error("down");
              return {
                watermark,
                watermarkPartition: 7,
                isUsable: true,
                canRead: () => Promise.resolve(true),
                close: () => undefined,
                commit: async (events: readonly KafkaEvent[], next: Buffer) => {
                  const large = events.filter(({ value }) => value.toString("utf8") === REFUSED);
                  if (large.length > 0) throw new KafkaTooLarge(large);
                  if (!bench.isUp) throw new Error("down");
                  committed.push(...events);
                  watermark = next;
                },
              };
            },
            isFenced: () => false,
            // As the real one: an error that is not Kafka's is a defect, and would end the loop.
            failure: (error: unknown) => {
              if (error instanceof Error && "code" in error) throw error;
              return { failure: failure(error), needsPerson: false };
            },
            sharedId: () => failure("shared"),
          }),
        spoolBytes: 1 << 20,
        stateFolder: join(folder, "outputs", "kafka-1"),
        stateName: "kafka-1",
        rejected: new RejectedEvents(folder, disk, clock),
        ports: { disk, clock, platform: "linux" },
        clock,
        random: FakeRandom.always(),
        newId: () => crypto.randomUUID(),
        log,
      }),
  };
  return bench;
}

function syslogBench(clock: FakeClock): Bench {
  const receiver = new Receiver();
  return {
    open: (disk, folder, log) =>
      new SyslogOutput({
        name: NAME,
        target: { host: "siem.example", port: 6514, protocol: "tls" },
        style: { format: "rfc5424", framing: "newline", host: "h" },
        spoolBytes: 1 << 20,
        stateFolder: join(folder, "outputs", "syslog-1"),
        dialer: receiver,
        disk,
        clock,
        random: FakeRandom.always(),
        log,
      }),
    arrived: () => receiver.events,
    get isUp() {
      return receiver.up;
    },
    set isUp(isUp) {
      receiver.up = isUp;
      if (!isUp) receiver.reset();
    },
  };
}

const KINDS = { hec: hecBench, kafka: kafkaBench, syslog: syslogBench } as const;
type Kind = keyof typeof KINDS;

function eventOf(kind: Kind, text: string): Batch {
  const line = kind !== "hec" ? `${text}\n` : `${JSON.stringify({ time: 1, event: text === REFUSED ? "" : text })}\n`;
  const bytes = Buffer.from(line);
  return { bytes, keys: [`contoso|t:alerts:alert:${text}:2026-11-29T16:00:00.0000000Z`], ends: [bytes.length] };
}

const folders: string[] = [];
const open: { readonly output: Output; readonly clock: FakeClock }[] = [];
afterEach(async () => {
  for (const { output, clock } of open.splice(0)) {
    const closing = output.close(0).catch(() => undefined);
    for (let round = 0; round < 3; round += 1) {
      clock.endPauses();
      await clock.pass(1, 1);
    }
    await closing;
  }
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** A run of one output, through a time without its receiver and an event that the receiver refuses. */
class Story {
  readonly clock = new FakeClock(EVENING_MS);
  readonly log = new FakeLog();
  readonly failing = new FailingDisk();
  readonly folder = newFolder();
  /** What a caller of `write` got. */
  readonly refusals: Failure[] = [];
  readonly bench: Bench;
  readonly #kind: Kind;
  readonly #waiting: Promise<void>[] = [];
  #unwritten = 0;
  output: Output;

  constructor(kind: Kind) {
    folders.push(this.folder);
    this.#kind = kind;
    this.bench = KINDS[kind](this.clock);
    this.output = this.#opened(this.failing.disk);
  }

  #opened(disk: Disk): Output {
    const output = this.bench.open(disk, this.folder, this.log);
    open.push({ output, clock: this.clock });
    return output;
  }

  /** As the engine does: what is refused comes again. */
  write(text: string): void {
    this.#unwritten += 1;
    const again = async (): Promise<void> => {
      for (;;) {
        try {
          await this.output.write(eventOf(this.#kind, text));
          this.#unwritten -= 1;
          return;
        } catch (error) {
          if (!isFailure(error)) throw error;
          this.refusals.push(error);
          await this.clock.pause(15_000);
        }
      }
    };
    this.#waiting.push(again());
  }

  async live(): Promise<void> {
    this.write("a");
    await this.pass(3_000);
    await this.outage("b", "c");
    if (this.#kind !== "syslog") this.write(REFUSED);
    this.write("d");
    await this.pass(70_000, 10_000);
    this.write("e");
    await this.pass(5_000, 2_500);
  }

  /** These are written while the receiver is gone. */
  async outage(...texts: readonly string[]): Promise<void> {
    this.bench.isUp = false;
    await this.pass(2_000);
    for (const text of texts) this.write(text);
    await this.pass(2_000);
    this.bench.isUp = true;
    await this.pass(70_000, 10_000);
  }

  pass(ms: number, stepMs = 1_000): Promise<void> {
    return this.clock.pass(ms, stepMs);
  }

  get isIdle(): boolean {
    return this.#unwritten === 0 && this.output.condition().spooledBytes === 0;
  }

  async untilIdle(): Promise<void> {
    for (let round = 0; round < 200 && !this.isIdle; round += 1) await this.pass(10_000, 5_000);
    expect([this.#unwritten, this.output.condition().spooledBytes]).toEqual([0, 0]);
    await Promise.all(this.#waiting);
  }

  /** Somebody heard that the disk fails, with what to do. */
  get isSaid(): boolean {
    const logged = this.log.lines
      .filter(({ level, fields }) => level === "error" && fields["next_step"] !== undefined)
      .map(({ message }) => message);
    const refused = this.refusals.filter(({ nextStep }) => nextStep !== "").map(({ say }) => say);
    return [...logged, ...refused].some((say) => say.includes("the disk reports an error"));
  }

  /** Every event arrived, and what was refused is in its file. */
  expectEverything(...more: readonly string[]): void {
    expect([...new Set(this.bench.arrived())].sort()).toEqual(["a", "b", "c", "d", "e", ...more].sort());
    if (this.#kind === "syslog") return;
    const files = fs.readdirSync(join(this.folder, "rejected", `${this.#kind}-1`));
    expect(files.length).toBeGreaterThan(0);
    for (const name of files)
      expect(fs.readFileSync(join(this.folder, "rejected", `${this.#kind}-1`, name), "utf8")).toContain('"reason"');
  }

  /** The next run, on a good disk. */
  async restart(): Promise<void> {
    this.output = this.#opened(fs);
    this.write("next");
    await this.untilIdle();
  }

  async close(): Promise<unknown> {
    const closing = this.output.close(1_000).then(
      () => undefined,
      (error: unknown) => error,
    );
    for (let round = 0; round < 20; round += 1) await this.pass(250, 250);
    open.splice(0);
    return closing;
  }
}

/** The calls behind these belong to events of which every kind has had one. */
const CALLS_MOST = 6;

/** Operations under way while an output runs. */
const RUNNING: Readonly<Record<Kind, readonly Operation[]>> = {
  hec: ["openSync", "writeSync", "fdatasync", "fsync", "readSync", "unlinkSync", "closeSync"],
  kafka: ["openSync", "writeSync", "fdatasync", "fsync", "readSync", "unlinkSync", "closeSync", "renameSync"],
  syslog: ["openSync", "writeSync", "fdatasync", "readSync", "unlinkSync", "closeSync"],
};
const rows = (Object.keys(KINDS) as Kind[]).flatMap((kind) => RUNNING[kind].map((one) => [kind, one] as const));

describe.each(rows)("an output of type %s on a disk of which %s fails", (kind, operation) => {
  test("at any one call goes on, and every event arrives", async () => {
    for (let nth = 1, count = 1; nth <= count; nth += 1) {
      const story = new Story(kind);
      story.failing.arm((one, n) => one === operation && n === nth);
      await story.live();
      await story.untilIdle();
      count = Math.max(count, Math.min(story.failing.calls.get(operation) ?? 0, CALLS_MOST));
      expect(story.failing.failed).toBeLessThanOrEqual(1);
      story.expectEverything();
      expect(await story.close()).toBeUndefined();
    }
  });

  test("for more than an hour says so, and every event arrives when it works again", async () => {
    const story = new Story(kind);
    story.failing.arm((one) => one === operation);
    await story.live();
    // Syslog keeps what it sent for an hour.
    await story.pass(4_200_000, 300_000);
    await story.outage("f");
    expect(story.failing.failed).toBeGreaterThan(0);
    expect([operation, story.isSaid || operation === "closeSync"]).toEqual([operation, true]);
    story.failing.heal();
    await story.untilIdle();
    story.expectEverything("f");
    expect(await story.close()).toBeUndefined();
    await story.restart();
    story.expectEverything("f", "next");
  });
});
