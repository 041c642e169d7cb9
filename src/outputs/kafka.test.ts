import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { newFolder } from "../../test/harness/fakes/receiver.ts";
import { heldBytes } from "../../test/harness/held-bytes.ts";
import { Failure } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { type KafkaClient, KafkaOutput, type KafkaParts, type KafkaTransactions } from "./kafka.ts";
import { type KafkaEvent, KafkaTooLarge } from "./kafka-error.ts";
import type { KafkaWriterParts } from "./kafka-writer.ts";
import type { Batch, OutputNotice } from "./output.ts";
import { RejectedEvents } from "./rejected.ts";

/** What happens to a transaction at the fake Kafka. */
type Outcome =
  | "committed"
  /** Committed, and the answer is lost. */
  | "committed-unheard"
  /** Committed, and the program crashes before it hears of it. */
  | "committed-killed"
  /** Neither committed nor answered. */
  | "lost"
  | Error;

/** A run of the program; after a crash nothing of it goes on. */
interface Run {
  isOver: boolean;
}

/** What was committed, and how the next transactions end. No network: only the promise of a transaction. */
class FakeKafka {
  readonly committed: KafkaEvent[] = [];
  readonly watermarks = new Map<string, Buffer>();
  readonly outcomes: Outcome[] = [];
  /** The next transaction waits for it. */
  waitsFor: Promise<void> | undefined;
  readonly sliceSizes: number[] = [];
  /** The largest record that the topic takes. */
  mostBytes = Number.POSITIVE_INFINITY;
  opened = 0;
  isUp = true;
  /** Another one is refused; undefined: none is asked for. */
  password: string | undefined;

  /** @param program that uses it. */
  client(program: Run): KafkaClient {
    return {
      open: (parts) => this.#open(parts, program),
      isFenced: (error) => error instanceof Error && error.message === "fenced",
      failure: (error) => ({
        failure: failureOf(error),
        needsPerson: error instanceof Error && error.message === "wrong password",
      }),
      sharedId: () => failureOf(new Error("another collector has this id")),
    };
  }

  #open({ watermarkKey, access }: KafkaWriterParts, program: Run): Promise<KafkaTransactions> {
    const isRefused = this.password !== undefined && this.password !== access.password?.open((text) => text);
    if (isRefused) return Promise.reject(new Error("wrong password"));
    if (program.isOver) return new Promise(() => undefined);
    this.opened += 1;
    if (!this.isUp) return Promise.reject(new Error("down"));
    const epoch = this.opened;
    let isBroken = false;
    return Promise.resolve({
      watermark: this.watermarks.get(watermarkKey),
      watermarkPartition: 7,
      get isUsable() {
        return !isBroken;
      },
      canRead: () => Promise.resolve(true),
      close: () => undefined,
      commit: async (events: readonly KafkaEvent[], watermark: Buffer, sliceMostBytes: number) => {
        await this.waitsFor;
        if (program.isOver) await new Promise(() => undefined);
        this.sliceSizes.push(sliceMostBytes);
        const outcome = this.outcomes.shift() ?? "committed";
        const alone = events.filter(({ value }) => value.length > this.mostBytes);
        isBroken = outcome !== "committed" || alone.length > 0;
        if (alone.length > 0) throw new KafkaTooLarge(alone);
        if (epoch !== this.opened) throw new Error("fenced");
        if (outcome !== "lost" && !(outcome instanceof Error)) {
          this.committed.push(...events);
          this.watermarks.set(watermarkKey, watermark);
        }
        if (outcome === "committed-killed") {
          program.isOver = true;
          await new Promise(() => undefined);
        }
        if (outcome !== "committed") throw typeof outcome === "string" ? new Error("no answer") : outcome;
      },
    });
  }

  get texts(): readonly string[] {
    return this.committed.map(({ value }) => value.toString("utf8"));
  }
}

function failureOf(error: unknown): Failure {
  return new Failure("output-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: error instanceof Error ? error.message : "unknown",
    nextStep: "Wait.",
  });
}

interface Story {
  readonly output: KafkaOutput;
  readonly kafka: FakeKafka;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly notices: OutputNotice[];
  readonly folder: string;
  readonly program: Run;
}

/** Events of an hour in which the receiver is gone; the spool is full before it ends. */
const HOUR = { everyMs: 10_000, eventBytes: 128 << 10, spoolBytes: 32 << 20, early: 60, growthMostBytes: 8 << 20 };

const running: KafkaOutput[] = [];
const folders = new Set<string>();
let ids = 0;
afterEach(async () => {
  for (const output of running.splice(0)) await output.close(0);
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
  folders.clear();
});

function story(
  options: Partial<Pick<KafkaParts, "recordFormat" | "spoolBytes">> & {
    readonly from?: Story;
    readonly disk?: Disk;
    readonly pauses?: "wait";
    readonly kafka?: FakeKafka;
  } = {},
): Story {
  const { recordFormat = "json", spoolBytes = 8 << 20, from, disk = fs, pauses = "pass" } = options;
  const clock = new FakeClock(EVENING_MS, { pauses });
  const kafka = options.kafka ?? from?.kafka ?? new FakeKafka();
  const folder = from?.folder ?? newFolder();
  folders.add(folder);
  const log = new FakeLog();
  const notices: OutputNotice[] = [];
  const program = { isOver: false };
  const output = new KafkaOutput({
    name: "outputs[0]",
    where: "kafka.example:9093 topic th-cef",
    topic: "th-cef",
    watermarkTopic: "watermarks",
    transactionalId: undefined,
    recordFormat,
    compression: "none",
    access: { brokers: ["kafka.example:9093"], protocol: "tls", sasl: "none" },
    client: () => Promise.resolve(kafka.client(program)),
    spoolBytes,
    stateFolder: join(folder, "outputs", "kafka-1"),
    stateName: "kafka-1",
    rejected: new RejectedEvents(folder, fs, clock),
    ports: { disk, clock, platform: process.platform },
    clock,
    random: FakeRandom.always(),
    newId: () => `00000000-0000-4000-8000-${String((ids += 1)).padStart(12, "0")}`,
    log,
  });
  output.listen({ noticed: (notice) => notices.push(notice) });
  running.push(output);
  return { output, kafka, clock, log, notices, folder, program };
}

/** The process is killed: nothing of it goes on, and its files are as they are. */
function crash({ output, program }: Story): void {
  program.isOver = true;
  running.splice(running.indexOf(output), 1);
}

/** The next run after a crash. */
function restart(from: Story): Story {
  return story({ from });
}

/** Waits for the real disk; the bound only ends what hangs. */
async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!holds() && performance.now() < end) await fs.promises.stat("/");
  expect(holds()).toBe(true);
}

const delivered = ({ output }: Story) => until(() => output.condition().spooledBytes === 0);

/** Version `v` of object `name`, as an event whose text is `name@v`. */
function versions(...names: readonly string[]): Batch {
  const lines = names.map((name) => `${name}\n`);
  let at = 0;
  return {
    bytes: Buffer.from(lines.join("")),
    keys: names.map(keyOf),
    ends: lines.map((line) => (at += Buffer.byteLength(line))),
  };
}

/** The event of an hour without a receiver that was taken as the `n`th. */
function hourly(n: number): Batch {
  const { keys } = versions(String(n));
  const bytes = Buffer.from(`${"x".repeat(HOUR.eventBytes)}${n}\n`);
  return { bytes, keys, ends: [bytes.length] };
}

function keyOf(text: string): string {
  const [name, v = "0"] = text.split("@");
  return `contoso|t:alerts:alert:${name}:2026-11-29T16:00:00.000000${v}Z`;
}

describe("a topic of Kafka", () => {
  test("gets each event once, keyed by its object, and health without a key", async () => {
    const it = story();
    await it.output.write(versions("a@1", "b", "a@2"));
    await it.output.write({ bytes: Buffer.from("health\n"), keys: [], ends: [] });
    await delivered(it);

    expect(it.kafka.committed.map(({ key, value }) => [key, value.toString()])).toEqual([
      ["t:alerts:alert:a", "a@1"],
      ["t:alerts:alert:b", "b"],
      ["t:alerts:alert:a", "a@2"],
      [undefined, "health"],
    ]);
    expect(it.output.condition()).toMatchObject({ state: "up", spooledBytes: 0, unconfirmed: 0, rejected: 0 });
  });

  test("gives every line of an event that has several the event's key", async () => {
    const it = story();
    await it.output.write({ bytes: Buffer.from("a1\na2\nb\nhealth\n"), keys: [keyOf("a"), keyOf("b")], ends: [6, 8] });
    await delivered(it);

    expect(it.kafka.committed.map(({ key }) => key)).toEqual([
      "t:alerts:alert:a",
      "t:alerts:alert:a",
      "t:alerts:alert:b",
      undefined,
    ]);
  });

  test("does not get an event again whose transaction was committed but not answered", async () => {
    const it = story();
    it.kafka.outcomes.push("committed-unheard");
    await it.output.write(versions("a", "b"));
    await delivered(it);
    expect(it.kafka.texts).toEqual(["a", "b"]);
    expect(it.kafka.opened).toBe(2);
  });

  test("gets an event again whose transaction was not committed", async () => {
    const it = story();
    it.kafka.outcomes.push("lost", "lost");
    await it.output.write(versions("a", "b"));
    await delivered(it);
    expect(it.kafka.texts).toEqual(["a", "b"]);
  });

  test("after a crash behind a commit gets only what was not committed", async () => {
    const it = story();
    await it.output.write(versions("a"));
    await delivered(it);
    it.kafka.outcomes.push("committed-killed");
    await it.output.write(versions("b"));
    await until(() => it.kafka.texts.length === 2);
    crash(it);

    const next = restart(it);
    await next.output.write(versions("c"));
    await delivered(next);
    expect(next.kafka.texts).toEqual(["a", "b", "c"]);
  });

  test("knows after a crash what left the spool, because the engine's own journal comes later", async () => {
    const it = story();
    await it.output.write(versions("a"));
    await delivered(it);
    crash(it);

    const next = restart(it);
    expect([next.output.wants(keyOf("a")), next.output.wants(keyOf("b"))]).toEqual([false, true]);
  });

  test("gets no event that a crash of the host could still take from the spool", async () => {
    let held: (() => void) | undefined;
    let holds = false;
    const fdatasync = (fd: number, done: fs.NoParamCallback) => {
      if (!holds) return fs.fdatasync(fd, done);
      holds = false;
      held = () => fs.fdatasync(fd, done);
    };
    const it = story({ disk: { ...fs, fdatasync } as unknown as Disk });
    let open!: () => void;
    it.kafka.waitsFor = new Promise((resolve) => {
      open = resolve;
    });
    await it.output.write(versions("a"));
    holds = true;
    const writing = it.output.write(versions("b"));
    await until(() => held !== undefined);
    open();
    await until(() => it.kafka.texts.length > 0);
    for (let round = 0; round < 300; round += 1) await fs.promises.stat("/");
    expect(it.kafka.texts).toEqual(["a"]);

    held?.();
    await writing;
    await delivered(it);
    expect(it.kafka.texts).toEqual(["a", "b"]);
  });

  test("loses nothing when the spool was empty and its numbers begin again", async () => {
    let it = story();
    for (const name of ["a", "b", "c"]) {
      await it.output.write(versions(name));
      await delivered(it);
    }
    crash(it);
    // The watermark of the run before is further than where these lie.
    it = restart(it);
    it.kafka.isUp = false;
    await it.output.write(versions("d"));
    crash(it);
    it = restart(it);
    it.kafka.isUp = true;
    await delivered(it);
    expect(it.kafka.texts).toEqual(["a", "b", "c", "d"]);
  });

  test("loses nothing after its state folder was restored from a backup", async () => {
    const it = story();
    it.kafka.isUp = false;
    await it.output.write(versions("a"));
    crash(it);
    const backup = newFolder();
    folders.add(backup);
    fs.cpSync(it.folder, backup, { recursive: true });
    let next = restart(it);
    next.kafka.isUp = true;
    for (const name of ["b", "c", "d"]) {
      await next.output.write(versions(name));
      await delivered(next);
    }
    crash(next);
    fs.rmSync(it.folder, { recursive: true });
    fs.cpSync(backup, it.folder, { recursive: true });

    next = restart(next);
    next.kafka.isUp = false;
    await next.output.write(versions("e"));
    crash(next);
    next = restart(next);
    next.kafka.isUp = true;
    await delivered(next);
    expect(new Set(next.kafka.texts)).toEqual(new Set(["a", "b", "c", "d", "e"]));
  });

  test("loses nothing when a part of the spool could not be read for a moment", async () => {
    let refusals = 1;
    const openSync = (...given: Parameters<typeof fs.openSync>) => {
      if (given[1] === "r" && String(given[0]).endsWith("000000002.spool") && refusals-- > 0)
        throw Object.assign(new Error("EMFILE"), { code: "EMFILE" });
      return fs.openSync(...given);
    };
    const it = story({ disk: { ...fs, openSync } as unknown as Disk });
    it.kafka.isUp = false;
    const large = "x".repeat(600_000);
    for (const name of [`a${large}`, `b${large}`]) await it.output.write(versions(name));
    it.kafka.isUp = true;
    await until(() => it.kafka.texts.some((text) => text.startsWith("b")));
    crash(it);

    const next = restart(it);
    await delivered(next);
    expect(next.kafka.texts.map((text) => text[0])).toEqual(["a", "b"]);
    expect(refusals).toBeLessThan(1);
  });

  test("the log says which events are lost when a file of the spool was deleted", async () => {
    const it = story();
    it.kafka.isUp = false;
    await it.output.write(versions("a"));
    fs.unlinkSync(join(it.folder, "outputs", "kafka-1", "spool", "000000001.spool"));
    it.kafka.isUp = true;
    await delivered(it);
    await it.output.write(versions("b"));
    await delivered(it);

    expect(it.kafka.texts).toEqual(["b"]);
    expect(it.log.lines.filter(({ message }) => message.includes("damaged or deleted"))).toMatchObject([
      { level: "error", fields: { output: "outputs[0]", next_step: expect.stringContaining("Check the disk") } },
    ]);
  });

  test("takes events again when the disk that was full at the start has room", async () => {
    let isFull = true;
    const openSync = (...given: Parameters<typeof fs.openSync>) => {
      if (isFull && String(given[0]).endsWith("lane.new")) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      return fs.openSync(...given);
    };
    const it = story({ disk: { ...fs, openSync } as unknown as Disk });
    await expect(it.output.write(versions("a"))).rejects.toMatchObject({ code: "state-unwritable" });
    isFull = false;
    await it.output.write(versions("b"));
    await delivered(it);
    expect(it.kafka.texts).toEqual(["b"]);
  });

  test("a stop refuses at once what waits for room in a full spool", async () => {
    const it = story({ spoolBytes: 1 << 20 });
    it.kafka.waitsFor = new Promise(() => undefined);
    const large = "x".repeat(600_000);
    await it.output.write(versions(`a${large}`));
    const before = it.clock.monotonicMs();
    const refused = it.output.write(versions(`b${large}`)).catch((error: unknown) => error);
    crash(it);
    void it.output.close(0);
    expect(await refused).toMatchObject({ code: "output-full" });
    expect(it.clock.monotonicMs() - before).toBeLessThan(1_000);
  });

  test("hears of a failure only when the next writer meets it too, and when it is over", async () => {
    const it = story();
    it.kafka.outcomes.push("lost");
    await it.output.write(versions("a"));
    await delivered(it);
    expect(it.log.lines.filter(({ level }) => level === "error")).toEqual([]);

    it.kafka.outcomes.push("lost", "lost");
    await it.output.write(versions("b"));
    await delivered(it);
    expect(it.log.lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual(["no answer"]);
    expect(it.log.lines.map(({ message }) => message)).toContain("the receiver is back");
    expect(it.output.condition().state).toBe("up");
  });

  test("that two collectors with one transactional id take from each other is said", async () => {
    const it = story();
    it.kafka.outcomes.push(new Error("fenced"), new Error("fenced"), new Error("fenced"));
    await it.output.write(versions("a"));
    await delivered(it);
    expect(it.log.lines.map(({ message }) => message)).toContain("another collector has this id");
    expect(it.kafka.texts).toEqual(["a"]);
  });

  test("a changed password is tried at once, although the old one was refused", async () => {
    const kafka = Object.assign(new FakeKafka(), { password: "new" });
    const it = story({ pauses: "wait", kafka });
    await it.output.write(versions("a"));
    await until(() => it.output.condition().failure?.say === "wrong password");
    const beforeMs = it.clock.monotonicMs();
    it.output.renew({ password: sealed("new") });
    await delivered(it);
    expect(it.clock.monotonicMs()).toBe(beforeMs);
    expect(kafka.texts).toEqual(["a"]);
    expect(it.output.condition().state).toBe("up");
  });

  test("an hour without Kafka fills the spool to its limit and takes no memory for it, and all of it is committed", async () => {
    const it = story({ spoolBytes: HOUR.spoolBytes, pauses: "wait" });
    it.kafka.isUp = false;
    const held: number[] = [];
    const taken: string[] = [];
    const endMs = it.clock.monotonicMs() + 3_600_000;
    while (it.clock.monotonicMs() < endMs) {
      const isTaken = await it.output.write(hourly(taken.length)).then(
        () => true,
        () => false,
      );
      if (isTaken) taken.push(String(taken.length));
      await it.clock.pass(HOUR.everyMs, HOUR.everyMs);
      if (taken.length === HOUR.early && held.length === 0) held.push(await heldBytes());
    }
    const { state, spooledBytes } = it.output.condition();
    expect(state).toBe("refusing");
    expect(spooledBytes).toBeLessThanOrEqual(HOUR.spoolBytes);
    expect(spooledBytes).toBeGreaterThan(HOUR.spoolBytes * 0.9);
    held.push(await heldBytes());
    expect((held[1] as number) - (held[0] as number)).toBeLessThan(HOUR.growthMostBytes);

    it.kafka.isUp = true;
    while (it.output.condition().spooledBytes > 0) {
      await it.clock.pass(1_000, 1_000);
      await fs.promises.stat(it.folder);
    }

    expect(it.kafka.texts.map((text) => text.slice(HOUR.eventBytes))).toEqual(taken);
  });

  test("a spool that is full while Kafka is gone refuses events, and collection waits", async () => {
    const it = story({ spoolBytes: 1 << 20 });
    it.kafka.isUp = false;
    const large = "x".repeat(600_000);
    await it.output.write(versions(`a${large}`));
    await until(() => it.output.condition().state === "down");
    await expect(it.output.write(versions(`b${large}`))).rejects.toMatchObject({ code: "output-full" });
    expect(it.output.condition().state).toBe("refusing");
    it.kafka.isUp = true;
    await delivered(it);
    expect(it.output.condition().state).toBe("up");
  });
});

describe("what the topic takes no record of that size for", () => {
  const alert = (description: string) => JSON.stringify({ id: "a", description, mssp: { key: "k" } });

  test("JSON goes without its largest members, and the log and the record name them", async () => {
    const it = story();
    it.kafka.mostBytes = 30_000;
    await it.output.write(versions("b", alert("x".repeat(50_000)), "c"));
    await delivered(it);

    expect(it.kafka.texts).toEqual(["b", '{"id":"a","mssp":{"key":"k"}}', "c"]);
    expect(it.kafka.committed[1]?.leftOut).toBe("description");
    expect(it.log.lines).toContainEqual(
      expect.objectContaining({
        level: "warn",
        message: "an event above Kafka's limit is sent without its large members",
        fields: expect.objectContaining({ left_out: "description" }),
      }),
    );
  });

  test("CEF is kept aside with a notice, and the others go on", async () => {
    const it = story({ recordFormat: "cef" });
    it.kafka.mostBytes = 6_000;
    const long = "c".repeat(7_000);
    await it.output.write(versions("a", long, "b"));
    await delivered(it);

    expect(it.kafka.texts).toEqual(["a", "b"]);
    expect(it.notices.map(({ about }) => about)).toEqual(["event-rejected"]);
    expect(new RejectedEvents(it.folder, fs, it.clock).list(() => undefined)).toMatchObject([
      { event: long, where: "kafka.example:9093 topic th-cef", key: expect.stringContaining("t:alerts:alert:c") },
    ]);
    expect(it.output.condition().rejected).toBe(1);
  });

  test("several events go in smaller requests", async () => {
    const it = story();
    it.kafka.outcomes.push(new KafkaTooLarge([]), new KafkaTooLarge([]));
    await it.output.write(versions("a", "b"));
    await delivered(it);
    expect(it.kafka.texts).toEqual(["a", "b"]);
    expect(it.kafka.sliceSizes).toEqual([900_000, 450_000, 225_000]);
  });
});
