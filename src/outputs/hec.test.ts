import * as fs from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock, settled } from "../../test/harness/fakes/clock.ts";
import { HEC_TOKEN, HecNetwork, hecParts } from "../../test/harness/fakes/hec.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { newFolder } from "../../test/harness/fakes/receiver.ts";
import type { HecReply } from "../../test/harness/hec/indexer.ts";
import { heldBytes } from "../../test/harness/held-bytes.ts";
import { Failure } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import { HecOutput, type HecParts } from "./hec.ts";
import type { Batch, OutputNotice } from "./output.ts";
import { RejectedEvents } from "./rejected.ts";

const A = "https://a.example:8088";
const B = "https://b.example:8088";

/** Version `v` of object `name`, as an event whose text is `name@v`. */
function versions(...names: readonly string[]): Batch {
  const lines = names.map((name) => `${JSON.stringify({ time: 1, index: "main", event: name })}\n`);
  let at = 0;
  return {
    bytes: Buffer.from(lines.join("")),
    keys: names.map(keyOf),
    ends: lines.map((line) => (at += Buffer.byteLength(line))),
  };
}

/** The events of an hour without a receiver that are taken behind `n` others. */
function hourly(n: number): Batch {
  const lines = hourlyNames(n).map((name) => `${JSON.stringify({ event: "x".repeat(HOUR.eventBytes) + name })}\n`);
  let at = 0;
  const ends = lines.map((line) => (at += line.length));
  return { bytes: Buffer.from(lines.join("")), keys: hourlyNames(n).map(keyOf), ends };
}

const hourlyNames = (n: number) => Array.from({ length: HOUR.events }, (_, i) => String(n + i));

function keyOf(text: string): string {
  const [name, v = "0"] = text.split("@");
  return `contoso|t:alerts:alert:${name}:2026-11-29T16:00:00.000000${v}Z`;
}

/** Events of an hour in which the receiver is gone; the spool is full before it ends. */
const HOUR = {
  everyMs: 20_000,
  events: 16,
  eventBytes: 8 << 10,
  spoolBytes: 16 << 20,
  batches: 4,
  /** Rounds: the second is just before the first batches are given up for another channel. */
  looks: [1, 14, 180],
  growthMostBytes: 4 << 20,
};

const LOST = { actor: "operator", retry: { when: "soon" } } as const;

const TIMED_OUT = new Failure("timed-out", { ...LOST, say: "HEC did not answer in time." });
const HOUR_MS = 3_600_000;
/** What a balancer decides by. */
let random: FakeRandom;

const open: HecOutput[] = [];
const folders: string[] = [];
const clocks: FakeClock[] = [];
afterEach(async () => {
  for (const output of open.splice(0)) {
    const closing = output.close(0);
    for (const clock of clocks) clock.endPauses();
    await closing;
  }
  clocks.splice(0);
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

interface Story {
  readonly output: HecOutput;
  readonly network: HecNetwork;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly notices: OutputNotice[];
  readonly folder: string;
}

function story(
  options: Partial<Pick<HecParts, "urls" | "ack" | "spoolBytes" | "disk" | "withoutSpool">> & {
    readonly network?: (network: HecNetwork) => void;
    readonly from?: Story;
    readonly gzip?: boolean;
  } = {},
): Story {
  const { urls = [A], ack = "auto", spoolBytes = 8 << 20, disk = fs, gzip = false, withoutSpool = false } = options;
  const clock = options.from?.clock ?? new FakeClock(EVENING_MS);
  const network = options.from?.network ?? new HecNetwork(clock);
  const folder = options.from?.folder ?? newFolder();
  const log = new FakeLog();
  const notices: OutputNotice[] = [];
  options.network?.(network);
  const output = new HecOutput(
    hecParts({ urls, ack, spoolBytes, disk, gzip, withoutSpool, network, clock, folder, log }),
  );
  output.listen({ noticed: (notice) => notices.push(notice) });
  open.push(output);
  folders.push(folder);
  clocks.push(clock);
  return { output, network, clock, log, notices, folder };
}

/** The process is killed: nothing of it goes on, and its files are as they are. */
async function crash({ output, network }: Story): Promise<void> {
  const { down } = network;
  for (const url of [A, B]) down.add(url);
  open.splice(open.indexOf(output), 1);
  await settled();
}

/** For work that waits for the real disk as well as for the clock. */
async function passUntil({ clock, folder }: Story, holds: () => boolean): Promise<void> {
  for (let round = 0; round < 5_000 && !holds(); round += 1) {
    await clock.pass(50, 50);
    await fs.promises.stat(folder);
  }
}

const channelsOf = ({ network }: Story) =>
  network.posts.map(({ headers }) => headers["x-splunk-request-channel"]?.slice(-1));
const waiting = ({ output }: Story) => output.condition().spooledBytes;
const eventsIn = (body: string | Uint8Array | undefined) =>
  Buffer.from(body ?? "")
    .toString("utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { event: string }).event);

test("the log of HEC says which events are lost when a file of the spool was deleted", async () => {
  const it = story({ network: ({ down }) => down.add(A) });
  await it.output.write(versions("a"));
  await crash(it);
  const path = join(it.folder, "outputs", "hec-1", "spool", "000000001.spool");
  const next = story({ from: it, disk: { ...fs, readSync: () => 0 } as unknown as typeof fs });
  await passUntil(next, () => waiting(next) === 0);

  expect([fs.existsSync(path), waiting(next)]).toEqual([false, 0]);
  expect(next.log.lines.filter(({ message }) => message.includes("damaged or deleted"))).toMatchObject([
    { level: "error", fields: { output: "outputs[0]", next_step: expect.stringContaining("Check the disk") } },
  ]);
});

describe("while a record of the spool cannot be read", () => {
  /** Reading fails as long as `failsAt` says so of the place in the file. */
  function failingDisk(failsAt: (position: number) => boolean): typeof fs {
    return new Proxy(fs, {
      get(target, name: keyof typeof fs) {
        if (name !== "readSync") return target[name];
        return (fd: number, into: Buffer, offset: number, length: number, position: number) => {
          if (failsAt(position)) throw Object.assign(new Error("i/o error"), { code: "EIO" });
          return fs.readSync(fd, into, offset, length, position);
        };
      },
    });
  }

  test("the events before it are delivered, and its own when it can be read again", async () => {
    let isBroken = true;
    const it = story({ network: ({ down }) => down.add(A) });
    await it.output.write(versions("a"));
    const behindA = waiting(it);
    await it.output.write(versions("b"));
    await crash(it);
    const next = story({
      from: it,
      urls: [B],
      network: (n) => n.down.delete(B) && n.indexer(B),
      disk: failingDisk((position) => isBroken && position >= behindA),
    });
    await passUntil(next, () => next.network.indexed.length > 0);
    expect(next.network.indexed).toEqual(["a"]);
    isBroken = false;
    await passUntil(next, () => waiting(next) === 0);
    expect([next.network.indexed, waiting(next)]).toEqual([["a", "b"], 0]);
  });

  test("events that an indexer lost are sent again when they can be read again", async () => {
    let isBroken = false;
    const it = story({
      network: (n) => n.indexer(A, { ack: "never" }),
      disk: failingDisk(() => isBroken),
    });
    await it.output.write(versions("a"));
    await passUntil(it, () => it.network.posts.length === 1);
    isBroken = true;
    await it.clock.pass(320_000, 5_000);
    expect(it.log.texts.join("\n")).toContain("000000001.spool cannot be read");
    expect(it.network.posts).toHaveLength(1);
    isBroken = false;
    await passUntil(it, () => it.network.posts.length > 1);
    expect(it.network.posts.map(({ body }) => eventsIn(body))).toEqual([["a"], ["a"]]);
  });

  test.each([
    ["says which one it is", (body: string) => body],
    ["does not say which one it is", (body: string) => body.replace(/,"invalid-event-number":\d+/, "")],
  ])("an event that Splunk refuses for good waits with its batch, where Splunk %s", async (_, said) => {
    let isBroken = false;
    const it = story({ network: (n) => n.indexer(A), disk: failingDisk(() => isBroken) });
    it.network.onReply = (reply, { url }) => {
      isBroken ||= url.endsWith("/event") && it.network.posts.length === 1;
      return { ...reply, body: said(reply.body) };
    };
    await it.output.write(versions("a", "", "c"));
    await passUntil(it, () => it.output.condition().state === "down");
    isBroken = false;
    await passUntil(it, () => waiting(it) === 0);
    expect([...it.network.indexed].sort()).toEqual(["a", "c"]);
    expect(it.output.condition()).toMatchObject({ spooledBytes: 0, rejected: 1 });
  });
});

describe("with acknowledgement", () => {
  test("an event waits on disk until the indexer says that it has indexed it", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 5_000 }) });
    await it.output.write(versions("a", "b"));
    await it.clock.pass(2_000);
    expect(it.network.posts).toHaveLength(1);
    expect(waiting(it)).toBeGreaterThan(0);

    await it.clock.pass(10_000);

    expect(it.network.indexed).toEqual(["a", "b"]);
    expect(waiting(it)).toBe(0);
    expect(it.network.posts).toHaveLength(1);
    expect(it.log.texts.join("\n")).not.toContain(HEC_TOKEN);
  });

  test("its condition counts the events without an acknowledgement, and since when the oldest waits", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 5_000 }) });
    expect(it.output.condition()).toMatchObject({ unconfirmed: 0, rejected: 0 });
    await it.output.write(versions("a", "b"));
    await it.clock.pass(2_000);
    expect(it.output.condition()).toMatchObject({ unconfirmed: 2, waitingSinceMs: EVENING_MS });

    await it.clock.pass(10_000);

    expect(it.output.condition()).toMatchObject({ unconfirmed: 0 });
    expect(it.output.condition().waitingSinceMs).toBeUndefined();
  });

  test("acknowledgements are asked for after 1 s, then less often up to 10 s, all of a channel in one request", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(500);
    await it.output.write(versions("b"));
    await it.clock.pass(30_000, 250);
    const asks = it.network.asked.filter(({ url }) => url.endsWith("/ack"));
    expect(asks.length).toBeGreaterThan(4);
    expect(asks.length).toBeLessThan(9);
    expect(asks.at(-1)?.body?.toString()).toBe('{"acks":[0,1]}');
  });

  test("after a crash everything unconfirmed is sent again with equal bytes, also what Microsoft has replaced", async () => {
    const first = story({ network: (n) => n.indexer(A, { indexAfterMs: 60_000 }) });
    await first.output.write(versions("a@1"));
    await first.clock.pass(1_000);
    await first.output.write(versions("a@2"));
    await crash(first);
    first.network.indexed.length = 0;
    first.network.down.clear();
    first.network.indexer(A);

    const again = story({ from: first });
    expect([again.output.wants(keyOf("a@1")), again.output.wants(keyOf("a@3"))]).toEqual([false, true]);
    await again.clock.pass(5_000);

    expect(again.network.indexed).toEqual(["a@1", "a@2"]);
    expect(waiting(again)).toBe(0);
  });

  test("an orderly stop waits for acknowledgements, and nothing is sent again at the next start", async () => {
    const first = story({ network: (n) => n.indexer(A, { indexAfterMs: 2_000 }) });
    await first.output.write(versions("a"));
    const closing = first.output.close(10_000);
    await first.clock.pass(10_000, 250);
    await closing;
    open.splice(0);

    const again = story({ from: first });
    await again.clock.pass(5_000);

    expect(again.network.posts).toHaveLength(1);
    expect(again.network.indexed).toEqual(["a"]);
  });

  test("answers that lie, are cut or name other ids confirm nothing", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "wrong", indexAfterMs: 0 }) });
    await it.output.write(versions("a"));
    await it.clock.pass(4_000, 250);
    expect(it.network.asked.filter(({ url }) => url.endsWith("/ack")).length).toBeGreaterThanOrEqual(2);
    expect(waiting(it)).toBeGreaterThan(0);

    await it.clock.pass(15_000);

    expect(waiting(it)).toBe(0);
    expect(it.network.posts).toHaveLength(1);
  });

  test("an answer with another status confirms nothing, whatever it says", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.onReply = (reply, { url }) =>
      url.endsWith("/ack") ? { status: 403, body: '{"acks":{"0":true}}' } : reply;
    await it.output.write(versions("a"));
    await it.clock.pass(30_000);
    expect(waiting(it)).toBeGreaterThan(0);
  });

  test.each([
    ["forward", HOUR_MS],
    ["back", -HOUR_MS],
  ])(
    "a step of this machine's clock %s by an hour does not change how long an acknowledgement is waited for",
    async (_, stepMs) => {
      const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
      await it.output.write(versions("a"));
      await it.clock.pass(100_000, 1_000);
      it.clock.wallOffsetMs = stepMs;
      await it.clock.pass(150_000, 1_000);
      expect(it.network.posts).toHaveLength(1);
      await it.clock.pass(80_000, 1_000);
      expect(it.network.posts).toHaveLength(2);
    },
  );

  test("a suspension of an hour with open events loses nothing: they are asked for, and sent again", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 60_000 }) });
    await it.output.write(versions("a"));
    await it.clock.pass(5_000);
    // Nothing of this program runs, and its connections are gone; the indexer restarts meanwhile.
    it.clock.now += HOUR_MS;
    it.network.indexer(A);
    await it.clock.pass(60_000, 1_000);

    expect(it.network.indexed).toEqual(["a"]);
    expect(waiting(it)).toBe(0);
  });

  test("without an acknowledgement for 300 s a new channel gets the same events, and nothing is confirmed", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(290_000, 5_000);
    expect(it.network.posts).toHaveLength(1);

    await it.clock.pass(30_000, 5_000);

    expect(channelsOf(it)).toEqual(["1", "2"]);
    expect(waiting(it)).toBeGreaterThan(0);
    expect(it.log.texts.join("\n")).toContain("no acknowledgement for 300 s");
  });

  describe("an indexer that takes events and acknowledges none is down after 300 s", () => {
    const silent = (body: string, status = 200): HecReply => ({ status, body });

    test.each<[string, string, string, HecReply | "gone"]>([
      ["every acknowledgement stays false", "none of them is indexed", "queues", silent('{"acks":{"0":false}}')],
      ["the address for acknowledgements does not exist", "404", "/services/collector/ack", silent("Not Found", 404)],
      ["a page comes instead of acknowledgements", "200", "/services/collector/ack", silent("<html></html>")],
      ["nothing answers about acknowledgements", "could not connect", "/services/collector/ack", "gone"],
    ])("when %s, says who must act, and is up again with the first acknowledgement", async (_, why, what, answer) => {
      const it = story({ network: (n) => n.indexer(A) });
      let isSilent = true;
      it.network.onReply = (reply, { url }) => {
        if (!isSilent || !url.endsWith("/ack")) return reply;
        if (answer !== "gone") return answer;
        throw new Failure("network-unreachable", {
          actor: "operator",
          retry: { when: "soon" },
          say: "This machine could not connect.",
        });
      };
      await it.output.write(versions("a"));
      await it.clock.pass(290_000, 5_000);
      expect(it.output.condition().state).toBe("up");

      await it.clock.pass(400_000, 5_000);

      expect(it.output.condition()).toMatchObject({
        state: "down",
        waitingSinceMs: EVENING_MS,
        failure: {
          code: "output-unconfirmed",
          actor: "operator",
          say: expect.stringContaining(why),
          nextStep: expect.stringContaining(what),
        },
      });
      expect(it.log.lines.filter(({ fields }) => fields["failure"] === "output-unconfirmed")).toHaveLength(1);

      isSilent = false;
      // The fake has forgotten what it was asked for meanwhile: the next channel is acknowledged.
      await it.clock.pass(330_000, 5_000);

      expect(it.output.condition()).toMatchObject({ state: "up", spooledBytes: 0 });
      expect(it.output.condition().failure).toBeUndefined();
      expect(it.log.texts.join("\n")).toContain("the receiver is back");
    });

    test("although its connections break before 300 s are over, or it restarts", async () => {
      const it = story({ network: (n) => n.indexer(A) });
      it.network.onReply = (reply, { url }) => (url.endsWith("/ack") ? silent('{"acks":{}}') : reply);
      await it.output.write(versions("a"));
      for (let round = 0; round < 5; round += 1) {
        await it.clock.pass(90_000, 5_000);
        it.network.breaksAfterTaking = 1;
        await it.output.write(versions(`b${round}`));
      }
      expect(it.output.condition()).toMatchObject({ state: "down", failure: { code: "output-unconfirmed" } });
    });

    test("and gets one batch at a time from then on, after pauses that double up to an hour", async () => {
      const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
      const big = (name: string) => versions(name + "x".repeat(900_000));
      const atS: number[] = [];
      it.network.onReply = (reply, { url }) => {
        if (url.endsWith("/event")) atS.push(it.clock.monotonicMs() / 1000);
        return reply;
      };
      for (const name of ["a", "b", "c"]) await it.output.write(big(name));
      await it.clock.pass(5 * 3_600_000, 5_000);
      const pausesS = atS.slice(3).map((at, i) => at - (atS[i + 2] as number));
      // A question every 10 s notices the end of each wait.
      const wanted = [300, 600, 1_200, 2_400, 3_600, 3_600, 3_600];
      expect(pausesS.map((s, i) => s >= (wanted[i] ?? 0) && s < (wanted[i] ?? 0) + 25)).toEqual(wanted.map(() => true));
      expect(it.output.condition()).toMatchObject({ state: "down", failure: { code: "output-unconfirmed" } });
    });

    test("and when it may have restarted it is not waited for as long as before", async () => {
      const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
      await it.output.write(versions("a"));
      await it.clock.pass(2 * 3_600_000, 5_000);
      it.network.down.add(A);
      await it.clock.pass(30_000, 5_000);
      it.network.down.clear();
      it.network.indexer(A);
      await it.clock.pass(330_000, 5_000);
      expect([it.network.indexed.at(-1), waiting(it)]).toEqual(["a", 0]);
    });

    test("and is asked for its eight last old channels, and while it cannot be reached for one only", async () => {
      const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
      await it.output.write(versions("a"));
      await it.clock.pass(12 * 3_600_000, 10_000);
      const channels = it.network.posts.map(({ headers }) => headers["x-splunk-request-channel"]);
      const askedIn = async (ms: number) => {
        it.network.asked.splice(0);
        await it.clock.pass(ms, 1_000);
        return it.network.asked.map(({ headers }) => headers["x-splunk-request-channel"]);
      };

      // Each repeat has a channel of its own.
      expect([channels.length, new Set(channels).size]).toEqual([15, 15]);
      expect(new Set(await askedIn(30_000))).toEqual(new Set(channels.slice(-9)));
      it.network.down.add(A);
      expect(new Set(await askedIn(30_000))).toEqual(new Set(channels.slice(-1)));
    });

    test("and one that was idle for hours is not", async () => {
      const it = story({ network: (n) => n.indexer(A) });
      for (const name of ["a", "b"]) {
        await it.clock.pass(7_200_000, 600_000);
        await it.output.write(versions(name));
        await it.clock.pass(5_000, 1_000);
      }
      expect(it.output.condition()).toMatchObject({ state: "up", spooledBytes: 0 });
      expect(it.log.texts.join("\n")).not.toContain("acknowledged none");
    });

    test("while another address that acknowledges delivers what it took, the output is up", async () => {
      const it = story({ urls: [A, B], network: (n) => n.indexer(A, { ack: "never" }) });
      it.network.indexer(B);
      for (let n = 0; n < 80; n += 1) {
        await it.output.write(versions(`a${n}`));
        await it.clock.pass(10_000, 5_000);
      }
      expect(it.output.condition()).toMatchObject({ state: "up", failure: { code: "output-unconfirmed" } });
    });
  });

  describe("an indexer that acknowledges after 400 s", () => {
    const LATE = { indexAfterMs: 400_000 };
    const copiesIn = ({ network }: Story) => network.posts.flatMap(({ body }) => eventsIn(body));

    test("has delivered an event that it was sent twice, and is sent the next one once", async () => {
      const it = story({ network: (n) => n.indexer(A, LATE) });
      await it.output.write(versions("a"));
      await it.clock.pass(420_000, 5_000);
      expect([copiesIn(it), waiting(it)]).toEqual([["a", "a"], 0]);
      expect(it.output.condition()).toMatchObject({ state: "up", unconfirmed: 0 });

      await it.output.write(versions("b"));
      await it.clock.pass(420_000, 5_000);

      expect([copiesIn(it), waiting(it)]).toEqual([["a", "a", "b"], 0]);
      expect(it.log.lines.filter(({ message }) => message.includes("acknowledges events late"))).toMatchObject([
        { level: "warn", message: expect.stringMatching(/after 4\d\d s\. They are waited for up to 8\d\d s now/) },
      ]);
    });

    test("is sent no event more than twice while new ones come all the time", async () => {
      const it = story({ network: (n) => n.indexer(A, LATE) });
      const names = Array.from({ length: 120 }, (_, n) => `v${n}`);
      for (const name of names) {
        await it.output.write(versions(name));
        await it.clock.pass(20_000, 5_000);
      }
      await it.clock.pass(900_000, 5_000);
      const sent = copiesIn(it);
      expect([waiting(it), [...new Set(it.network.indexed)].sort()]).toEqual([0, [...names].sort()]);
      expect(Math.max(...names.map((name) => sent.filter((one) => one === name).length))).toBe(2);
      // What it takes in 400 s is 20 events; only those can have been sent again.
      expect(sent.length).toBeLessThanOrEqual(names.length + 20);
    });

    test("and is known to be late is down only after twice that time", async () => {
      const it = story({ network: (n) => n.indexer(A, LATE) });
      await it.output.write(versions("a"));
      await it.clock.pass(420_000, 5_000);
      it.network.indexer(A, { ack: "never" });
      await it.output.write(versions("b"));
      await it.clock.pass(700_000, 5_000);
      expect(it.output.condition().state).toBe("up");
      await it.clock.pass(200_000, 5_000);
      expect(it.output.condition().state).toBe("down");
    });

    test("is waited for twice that time also for what it took before it was known to be late", async () => {
      const it = story();
      const indexer = it.network.indexer(A, LATE);
      await it.output.write(versions("a"));
      await it.clock.pass(200_000, 5_000);
      await it.output.write(versions("b"));
      await it.clock.pass(250_000, 5_000);
      indexer.restart();
      await it.clock.pass(550_000, 5_000);
      expect(copiesIn(it)).toEqual(["a", "b", "a"]);
      await it.clock.pass(60_000, 5_000);

      expect(copiesIn(it)[3]).toBe("b");
      const waits = it.log.lines.map(
        ({ fields }) => /^no acknowledgement for (\d+) s$/.exec(String(fields?.["say"]))?.[1],
      );
      expect(waits.filter(Boolean)).toEqual(["300", expect.stringMatching(/^8\d\d$/)]);
    });

    test("and loses what it took in a restart gets it again, and has it once", async () => {
      const it = story();
      const indexer = it.network.indexer(A, LATE);
      await it.output.write(versions("a"));
      await it.clock.pass(100_000, 5_000);
      indexer.restart();
      await it.clock.pass(800_000, 5_000);
      expect([copiesIn(it), it.network.indexed, waiting(it)]).toEqual([["a", "a"], ["a"], 0]);
    });

    test.each([
      [503, '{"text":"Server is busy","code":9}'],
      [429, "Too Many Requests"],
    ])(
      "and answers %i meanwhile is sent nothing again that it acknowledges while it is busy: %s",
      async (status, body) => {
        const it = story({ network: (n) => n.indexer(A, LATE) });
        await it.output.write(versions("a"));
        await it.clock.pass(290_000, 5_000);
        it.network.onReply = (_, { url }) => {
          expect(url).toBe(`${A}/services/collector/event`);
          it.network.onReply = (reply) => reply;
          return { status, headers: { "retry-after": "200" }, body };
        };
        await it.output.write(versions("b"));
        await it.clock.pass(20_000, 5_000);
        expect(it.log.lines.at(-1)?.fields).toMatchObject({ events: 1, say: "no acknowledgement for 300 s" });
        await it.clock.pass(700_000, 5_000);

        expect([copiesIn(it), waiting(it)]).toEqual([["a", "b", "b"], 0]);
        expect(it.log.lines.filter(({ message }) => message.includes("damaged or deleted"))).toEqual([]);
      },
    );

    test("has delivered everything although this program is killed in between", async () => {
      const first = story({ network: (n) => n.indexer(A, LATE) });
      await first.output.write(versions("a", "b"));
      await first.clock.pass(350_000, 5_000);
      await crash(first);
      first.network.asked.splice(0);

      // Another address: A stays closed to the killed program.
      const again = story({ from: first, urls: [B], network: (n) => n.down.delete(B) && n.indexer(B, LATE) });
      await again.clock.pass(1_000_000, 5_000);

      expect([new Set(again.network.indexed), waiting(again)]).toEqual([new Set(["a", "b"]), 0]);
      // Once because nobody knows, and once because the first acknowledgement is late.
      expect(copiesIn(again)).toEqual(["a", "b", "a", "b"]);
    });

    test.each([
      ["breaks", () => Promise.reject(new Failure("connection-reset", { ...LOST, say: "The connection broke." }))],
      ["is a proxy's", () => Promise.resolve({ status: 502, body: "Bad Gateway" })],
      ["is a service mesh's", () => Promise.resolve({ status: 503, body: "upstream connect error or reset" })],
    ])(
      "and restarts while a request is under way whose answer %s confirms nothing under the id of a lost event",
      async (_, answer) => {
        const it = story({ network: (n) => n.indexer(A, LATE) });
        await it.output.write(versions("a"));
        await it.clock.pass(296_000, 1_000);
        // It restarts, loses `a`, and takes `b` under the id that `a` had.
        it.network.indexer(A, { indexAfterMs: 1_000 });
        const answered = Promise.withResolvers<void>();
        it.network.onReply = async (reply, { body, url }) => {
          if (!url.endsWith("/event") || eventsIn(body)[0] !== "b") return reply;
          await answered.promise;
          it.network.onReply = (other) => other;
          return answer();
        };
        await it.output.write(versions("b"));
        await it.clock.pass(60_000, 1_000);
        expect(waiting(it)).toBeGreaterThan(0);
        answered.resolve();
        await it.clock.pass(60_000, 1_000);

        expect([new Set(it.network.indexed), waiting(it)]).toEqual([new Set(["a", "b"]), 0]);
      },
    );
  });

  test("an indexer that restarts and begins its ids at 0 gets what it may have lost again", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 60_000 }) });
    await it.output.write(versions("a"));
    await it.clock.pass(300);
    await it.output.write(versions("b"));
    await it.clock.pass(300);
    it.network.indexer(A);
    await it.output.write(versions("c"));
    await it.clock.pass(10_000);

    expect([...it.network.indexed].sort()).toEqual(expect.arrayContaining(["a", "b", "c"]));
    expect(waiting(it)).toBe(0);
    expect(new Set(channelsOf(it))).toEqual(new Set(["1", "2"]));
  });

  test("an indexer that acknowledges late, or nothing, and is gone each minute is waited for longer each time", async () => {
    const copiesOf = async (reply: { readonly ack?: "never"; readonly indexAfterMs?: number }) => {
      const it = story();
      it.network.indexer(A, reply);
      for (let minute = 0; minute < 20; minute += 1) {
        await it.output.write(versions(`v${minute}`));
        await it.clock.pass(45_000, 1_000);
        it.network.down.add(A);
        await it.clock.pass(12_000, 1_000);
        it.network.down.clear();
        await it.clock.pass(3_000, 1_000);
      }
      const sent = it.network.posts.flatMap(({ body }) => String(body).match(/"v\d+"/g) ?? []);
      return sent.filter((one) => one === '"v10"').length;
    };
    expect(await copiesOf({ indexAfterMs: 120_000 })).toBe(1);
    expect(await copiesOf({ ack: "never" })).toBeLessThanOrEqual(2);
  });

  test("what an indexer that was gone lost is sent again 30 s after it is back, though nothing else is sent", async () => {
    const it = story();
    const indexer = it.network.indexer(A, { indexAfterMs: 20_000 });
    const restarts = ["first", "second", "third", "fourth"];
    for (const name of restarts) {
      await it.output.write(versions(name));
      await it.clock.pass(2_000, 500);
      it.network.down.add(A);
      indexer.restart();
      await it.clock.pass(60_000, 1_000);
      it.network.down.clear();
      await it.clock.pass(70_000, 1_000);
    }
    expect([it.network.posts.length, it.network.indexed, waiting(it)]).toEqual([8, restarts, 0]);
  });

  test("what an indexer that was gone kept is not sent again while it acknowledges within 30 s", async () => {
    const it = story();
    it.network.indexer(A, { indexAfterMs: 88_000 });
    await it.output.write(versions("kept"));
    await it.clock.pass(2_000, 500);
    it.network.down.add(A);
    await it.clock.pass(60_000, 1_000);
    it.network.down.clear();
    await it.clock.pass(60_000, 1_000);
    expect([it.network.posts.length, it.network.indexed, waiting(it)]).toEqual([1, ["kept"], 0]);
  });

  test("an indexer whose answers about acknowledgements only come too late is waited for 300 s", async () => {
    const it = story();
    it.network.indexer(A, { indexAfterMs: 200_000 });
    await it.output.write(versions("slow"));
    it.network.onReply = (reply, { url }) => {
      if (url.endsWith("/ack") && it.clock.monotonicMs() < startedMs + 60_000) throw TIMED_OUT;
      return reply;
    };
    const startedMs = it.clock.monotonicMs();
    await it.clock.pass(230_000, 1_000);
    expect([it.network.posts.length, it.network.indexed, waiting(it)]).toEqual([1, ["slow"], 0]);
  });

  test("through an indexer that restarts after every twelfth batch everything is indexed", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "restart", indexAfterMs: 500 }) });
    const names = Array.from({ length: 60 }, (_, n) => `v${n}`);
    for (const name of names) {
      await it.output.write(versions(name));
      await it.clock.pass(100);
    }
    for (let s = 0; waiting(it) > 0 && s < 3_600; s += 1) {
      await it.clock.pass(1_000, 250);
      await fs.promises.stat(it.folder);
    }

    expect([waiting(it), [...new Set(it.network.indexed)].sort()]).toEqual([0, [...names].sort()]);
  });

  describe("several indexers behind a balancer that keeps nobody at one of them", () => {
    /** Indexers of one address, of which each request reaches the one that `choose` names. */
    function balanced(count: number, choose: (path: string) => number) {
      const it = story();
      const has: Set<string>[] = Array.from({ length: count }, () => new Set());
      const indexers = has.map((events, i) =>
        it.network.indexer(`https://behind-${i}:8088`, {
          indexAfterMs: 500,
          indexed: (some) => {
            for (const one of some) events.add(one);
          },
        }),
      );
      it.network.balance(A, indexers, choose);
      return { it, has };
    }

    const SAYS = /a load balancer sends requests to several indexers/;

    test.each([
      ["in turn", 2, () => (n: number) => n % 2],
      ["at random", 2, () => () => Math.floor(random.next() * 2)],
      ["at random", 3, () => () => Math.floor(random.next() * 3)],
    ])("%s, of %i, have everything in the end, and the log says once what to do", async (_, count, chooser) => {
      random = new FakeRandom(17);
      let asked = 0;
      const next = chooser();
      const { it, has } = balanced(count, () => next((asked += 1)));
      const names = Array.from({ length: 40 }, (_name, n) => `v${n}`);
      for (const name of names) {
        await it.output.write(versions(name));
        await it.clock.pass(1_000, 250);
      }
      for (let s = 0; waiting(it) > 0 && s < 7_200; s += 1) {
        await it.clock.pass(1_000, 250);
        await fs.promises.stat(it.folder);
      }

      expect([waiting(it), [...new Set(has.flatMap((one) => [...one]))].toSorted()]).toEqual([0, names.toSorted()]);
      const said = it.log.lines.filter(({ message }) => SAYS.test(message));
      expect(said).toMatchObject([{ level: "warn", fields: { next_step: expect.stringMatching(/stick|cookie/) } }]);
    });

    test("and whose acknowledgements are always asked of the other one, confirm nothing, and health names the balancer", async () => {
      const { it, has } = balanced(2, (path) => (path.endsWith("/ack") ? 1 : 0));
      await it.output.write(versions("a", "b"));
      await it.clock.pass(700_000, 250);

      expect(waiting(it)).toBeGreaterThan(0);
      expect([...(has[0] ?? [])]).toEqual(["a", "b"]);
      // At 0 s, after 300 s, and not again before another 600 s.
      expect(it.network.posts).toHaveLength(2);
      expect(it.output.condition()).toMatchObject({
        state: "down",
        failure: { code: "output-unconfirmed", nextStep: expect.stringContaining("load balancer") },
      });
    });

    test("confirm nothing that only the other one has indexed under the same id", async () => {
      let to = 0;
      const { it, has } = balanced(2, () => to);
      await it.output.write(versions("a"));
      await it.clock.pass(100);
      // What was taken first is lost; the other one takes the next one, with the same id.
      has[0]?.add("lost");
      to = 1;
      await it.output.write(versions("b"));
      await it.clock.pass(60_000, 250);

      // The first one is not asked any more, so `a` counts only because the second one has it.
      expect([...(has[1] ?? [])].toSorted()).toEqual(["a", "b"]);
      expect(waiting(it)).toBe(0);
    });
  });

  test("an indexer that restarts four times in ten minutes, and later again, is not taken for a balancer", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 500 }) });
    for (const pausesMs of [60_000, 60_000, 60_000, 900_000, 60_000, 60_000, 60_000]) {
      await it.output.write(versions("before"));
      await it.clock.pass(10_000, 500);
      it.network.indexer(A, { indexAfterMs: 500 });
      await it.output.write(versions("after"));
      await it.clock.pass(pausesMs, 1_000);
    }
    expect(waiting(it)).toBe(0);
    expect(it.log.lines.filter(({ message }) => /load balancer/.test(message))).toEqual([]);
  });

  test("an id of a batch whose answer is still on its way does not confirm what an indexer lost under that id", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 60_000 }) });
    await it.output.write(versions("a"));
    await it.clock.pass(300);
    // It restarts, loses `a` and begins its ids at 0; the answer to the next batch is slow.
    it.network.indexer(A);
    let answer = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      answer = resolve;
    });
    it.network.onReply = async (reply, { url }) => {
      if (url.endsWith("/event")) await slow;
      return reply;
    };
    await it.output.write(versions("b"));
    await it.clock.pass(5_000);
    expect(waiting(it)).toBeGreaterThan(0);
    answer();
    await it.clock.pass(10_000);

    expect([...new Set(it.network.indexed)].sort()).toEqual(["a", "b"]);
    expect(waiting(it)).toBe(0);
  });

  test("an id that is already open never confirms two batches", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    it.network.onReply = (reply, { url }) =>
      url.endsWith("/event") ? { ...reply, body: '{"text":"Success","code":0,"ackId":7}' } : reply;
    await it.output.write(versions("a"));
    await it.clock.pass(100);
    await it.output.write(versions("b"));
    await it.clock.pass(10_000);
    expect(new Set(channelsOf(it)).size).toBeGreaterThan(1);
    // Nor do the same events come again without a pause.
    expect(it.network.posts.length).toBeLessThan(20);
    expect(waiting(it)).toBeGreaterThan(0);
  });

  test("a changed cookie means another indexer: a new channel gets the open events", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    let cookie = "node=1";
    it.network.onReply = (reply) => ({ ...reply, headers: { "set-cookie": `${cookie}; Path=/; Secure` } });
    await it.output.write(versions("a"));
    await it.clock.pass(100);
    await it.output.write(versions("b"));
    await it.clock.pass(100);
    expect(it.network.posts[1]?.headers["cookie"]).toBe("node=1");
    expect(channelsOf(it)).toEqual(["1", "1"]);
    cookie = "node=2";
    await it.output.write(versions("c"));
    await it.clock.pass(100);
    expect(channelsOf(it)).toEqual(["1", "1", "1", "2", "2", "2"]);
    expect(it.network.posts.slice(3).flatMap(({ body }) => eventsIn(body))).toEqual(["a", "b", "c"]);
  });

  test("a balancer that sets another cookie each time does not make the same events come for ever", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    let n = 0;
    it.network.onReply = (reply) => ({ ...reply, headers: { "set-cookie": `session=${(n += 1)}` } });
    for (let i = 0; i < 20; i += 1) {
      await it.output.write(versions(`a${i}`));
      await it.clock.pass(100);
    }
    expect(it.network.posts.length).toBeLessThan(30);
  });
});

describe("without acknowledgement", () => {
  test("auto goes on with the weaker promise, and says so in the log and as an event", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "off" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(1_000);
    expect(it.network.indexed).toEqual([]);
    await it.output.write(versions("b"));
    await it.clock.pass(1_000);

    expect(waiting(it)).toBe(0);
    expect(it.log.texts.join("\n")).toContain("HEC does not acknowledge events");
    expect(it.notices.map(({ about }) => about)).toEqual(["output-unacknowledged"]);
    expect(it.output.condition().unconfirmed).toBeUndefined();
  });

  test("auto gets what is open on every channel again where acknowledgement is switched off", async () => {
    const it = story({ network: (n) => n.indexer(A, { ack: "never" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(200_000, 5_000);
    await it.output.write(versions("b"));
    await it.clock.pass(130_000, 5_000);
    expect(new Set(channelsOf(it)).size).toBe(2);
    it.network.indexer(A, { ack: "off" });
    await it.clock.pass(20_000, 5_000);

    expect([new Set(it.network.indexed.slice(-2)), waiting(it)]).toEqual([new Set(["a", "b"]), 0]);
  });

  test("off says so at the start, and asks for no acknowledgement", async () => {
    const it = story({ ack: "off", network: (n) => n.indexer(A, { ack: "off" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(5_000);
    expect(it.log.texts.join("\n")).toContain(".ack is off");
    expect(it.network.asked.every(({ url }) => url.endsWith("/event"))).toBe(true);
    expect(waiting(it)).toBe(0);
  });

  test("on confirms nothing and names what to do", async () => {
    const it = story({ ack: "on", network: (n) => n.indexer(A, { ack: "off" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(10_000);
    expect(waiting(it)).toBeGreaterThan(0);
    expect(it.output.condition()).toMatchObject({ state: "down", failure: { code: "output-broken" } });
    expect(it.output.condition().failure?.nextStep).toContain("indexer acknowledgement");
  });

  test("after a crash what was taken in the last hour is sent again, after an orderly stop nothing", async () => {
    const first = story({ ack: "off", network: (n) => n.indexer(A, { ack: "off" }) });
    await first.output.write(versions("a"));
    await first.clock.pass(1_000);
    await crash(first);
    first.network.down.clear();
    const second = story({ ack: "off", from: first });
    await second.clock.pass(1_000);
    expect(second.network.posts.map(({ body }) => eventsIn(body))).toEqual([["a"], ["a"]]);
    await second.output.close(0);
    open.splice(0);

    const third = story({ ack: "off", from: first });
    await third.clock.pass(1_000);
    expect(third.network.posts).toHaveLength(2);
  });
});

describe("an event that Splunk refuses for good", () => {
  const parked = (folder: string) => fs.readdirSync(join(folder, "rejected", "hec-1"));

  test("is parked alone when Splunk says which one it is, and the rest is delivered", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    await it.output.write(versions("a", "", "c"));
    await passUntil(it, () => waiting(it) === 0);

    expect(it.network.indexed).toEqual(["a", "c"]);
    expect(waiting(it)).toBe(0);
    const [name = "", ...more] = parked(it.folder);
    expect(more).toEqual([]);
    expect(name).toMatch(/^20261124T190000\d{3}Z-1\.json$/);
    const path = join(it.folder, "rejected", "hec-1", name);
    expect(fs.statSync(path).mode & 0o777).toBe(0o600);
    expect(JSON.parse(fs.readFileSync(path, "utf8"))).toMatchObject({
      output: "outputs[0]",
      where: A,
      key: keyOf("").slice("contoso|".length),
      reason: "400, code 13: Event field cannot be blank",
      event: '{"time":1,"index":"main","event":""}',
    });
    expect(it.notices.map(({ about }) => about)).toEqual(["event-rejected"]);
    expect(it.output.condition()).toMatchObject({ unconfirmed: 0, rejected: 1 });
  });

  test("is found by halving when Splunk does not say which one it is", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.onReply = (reply) => ({ ...reply, body: reply.body.replace(/,"invalid-event-number":\d+/, "") });
    await it.output.write(versions("a", "b", "", "d", "e"));
    await passUntil(it, () => waiting(it) === 0);
    expect([...it.network.indexed].sort()).toEqual(["a", "b", "d", "e"]);
    expect(parked(it.folder)).toHaveLength(1);
    expect(waiting(it)).toBe(0);
  });

  test("because it is too large is parked when it is alone, and the others are delivered", async () => {
    const it = story({ network: (n) => n.indexer(A, { maxBytes: 200 }) });
    await it.output.write(versions("a", "x".repeat(300), "c"));
    await passUntil(it, () => waiting(it) === 0);
    expect([...it.network.indexed].sort()).toEqual(["a", "c"]);
    expect(parked(it.folder)).toHaveLength(1);
    expect(waiting(it)).toBe(0);
  });

  test("keeps waiting in the spool while its file cannot be written", async () => {
    let isFull = true;
    const disk = new Proxy(fs, {
      get(target, name: keyof typeof fs) {
        if (name !== "openSync") return target[name];
        return (path: string, ...rest: [string, number]) => {
          if (isFull && path.includes("rejected")) throw Object.assign(new Error("full"), { code: "ENOSPC" });
          return fs.openSync(path, ...rest);
        };
      },
    });
    const it = story({ disk, network: (n) => n.indexer(A) });
    await it.output.write(versions(""));
    await it.clock.pass(5_000);
    expect(waiting(it)).toBeGreaterThan(0);
    isFull = false;
    await passUntil(it, () => waiting(it) === 0);
    expect(waiting(it)).toBe(0);
    expect(parked(it.folder)).toHaveLength(1);
  });

  test("is not one that was indexed meanwhile, because another address had taken it before", async () => {
    const it = story({
      urls: [A, B],
      network: (n) => {
        n.indexer(A, { indexAfterMs: 400_000 });
        n.down.add(B);
      },
    });
    await it.output.write(versions("a"));
    await it.clock.pass(290_000, 5_000);
    it.network.indexer(B);
    it.network.down.delete(B);
    const answered = Promise.withResolvers<void>();
    it.network.onReply = async (reply, { url }) => {
      if (!url.endsWith("/event")) return reply;
      if (url.startsWith(A)) return { status: 503, body: '{"text":"Server is busy","code":9}' };
      await answered.promise;
      return { status: 400, body: '{"text":"Invalid data format","code":6,"invalid-event-number":0}' };
    };
    await it.clock.pass(60_000, 5_000);
    expect(it.network.posts.at(-1)?.url.startsWith(B)).toBe(true);
    await it.clock.pass(120_000, 5_000);
    expect(waiting(it)).toBe(0);
    answered.resolve();
    await it.clock.pass(5_000);

    expect(it.notices).toEqual([]);
    expect(it.output.condition()).toMatchObject({ state: "up", unconfirmed: 0, rejected: 0 });
  });
});

describe("what a person has to change in Splunk", () => {
  test.each([
    [{ status: 400, body: '{"text":"Incorrect index","code":7,"invalid-event-number":0}' }, "Create the index"],
    [{ status: 401, body: '{"text":"Token is required","code":2}' }, "Set .token"],
    [{ status: 403, body: '{"text":"Token disabled","code":1}' }, "Enable the token"],
    [{ status: 403, body: '{"text":"Invalid token","code":4}' }, "Check .token"],
    [{ status: 403, body: "<html>no" }, "Check .token"],
    [{ status: 404, body: "Not Found" }, "Check .urls"],
    [{ status: 302, body: "" }, "Check .urls"],
  ])("stops the delivery on %j, loses nothing, and says: %s", async (reply, nextStep) => {
    const it = story({
      network: (n) => void n.indexer(A).scripted.push(reply),
    });
    await it.output.write(versions("a"));
    await it.clock.pass(30_000);
    expect(it.network.posts).toHaveLength(1);
    expect(it.output.condition()).toMatchObject({
      state: "down",
      failure: { code: "output-broken", actor: "operator" },
    });
    expect(it.output.condition().failure?.nextStep).toContain(nextStep);

    await it.clock.pass(60_000);

    expect(it.network.indexed).toEqual(["a"]);
    expect(it.output.condition().state).toBe("up");
    expect(it.log.texts.join("\n")).not.toContain(HEC_TOKEN);
  });
});

describe("a changed token", () => {
  const NEW_TOKEN = "9d9d9d9d-1111-4222-8333-444444444444";

  test("of a lane that the old one stopped is tried at once, and nothing is lost", async () => {
    const it = story({ network: (n) => n.indexer(A, { token: NEW_TOKEN }) });
    await it.output.write(versions("a"));
    await it.clock.pass(1_000);
    expect(it.output.condition()).toMatchObject({ state: "down", failure: { code: "output-broken" } });

    it.output.renew({ token: sealed(NEW_TOKEN) });
    await it.clock.pass(5_000);

    expect(it.network.indexed).toEqual(["a"]);
    expect(it.output.condition().state).toBe("up");
    expect(it.log.texts.join("\n")).not.toContain(NEW_TOKEN);
  });

  test("does not wait for the refusal of a request that had the old one", async () => {
    const it = story({ network: (n) => n.indexer(A, { token: NEW_TOKEN }) });
    const answer = Promise.withResolvers<void>();
    it.network.onReply = async (reply, { headers }) => {
      if (!headers["authorization"]?.includes(NEW_TOKEN)) await answer.promise;
      return reply;
    };
    await it.output.write(versions("a"));
    await it.clock.pass(1_000);
    it.output.renew({ token: sealed(NEW_TOKEN) });
    answer.resolve();
    await it.clock.pass(5_000);

    expect(it.network.indexed).toEqual(["a"]);
  });

  test("does not shorten the wait that a busy indexer asked for", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.onReply = (reply) => ({ ...reply, status: 503, headers: { "retry-after": "120" }, body: "" });
    await it.output.write(versions("a"));
    await it.clock.pass(1_000);
    it.output.renew({ token: sealed(HEC_TOKEN) });
    await it.clock.pass(60_000);
    expect(it.network.posts).toHaveLength(1);
  });
});

describe("an indexer that is busy, gone or unclear", () => {
  test.each([
    [503, '{"text":"Server is busy","code":9}'],
    [429, "Too Many Requests"],
  ])("%i waits as long as Retry-After asks, and the other address goes on: %s", async (status, body) => {
    const it = story({
      urls: [A, B],
      network: (n) => {
        n.indexer(A);
        n.indexer(B);
      },
    });
    it.network.onReply = (reply, { url }) =>
      url === `${A}/services/collector/event` ? { status, headers: { "retry-after": "120" }, body } : reply;
    for (let i = 0; i < 55; i += 1) {
      await it.output.write(versions(`a${i}`));
      await it.clock.pass(2_000);
    }
    const toA = it.network.posts.filter(({ url }) => url.startsWith(A));
    expect(toA).toHaveLength(1);
    // The fake counts what A was sent: only its answer was changed.
    expect(new Set(it.network.indexed).size).toBe(55);
    expect(it.output.condition().state).toBe("up");
    await it.clock.pass(20_000);
    await it.output.write(versions("b"));
    await it.clock.pass(5_000);
    expect(waiting(it)).toBe(0);
  });

  test("after a proxy's 502 open events come again one at a time, so that another 502 makes one copy", async () => {
    const it = story({ network: (n) => n.indexer(A, { indexAfterMs: 20_000 }) });
    for (const name of ["a", "b", "c", "d"]) await it.output.write(versions(name + "x".repeat(300_000)));
    await it.clock.pass(5_000);
    expect(it.network.posts).toHaveLength(4);
    it.network.onReply = (reply, { url }) => (url.endsWith("/event") ? { status: 502, body: "Bad Gateway" } : reply);
    await it.output.write(versions("e"));
    await it.clock.pass(500);
    it.network.onReply = (reply) => reply;
    await it.clock.pass(15_000);
    expect(it.network.posts).toHaveLength(4 + 2);
    await it.clock.pass(120_000);

    expect([it.network.posts.length, waiting(it)]).toEqual([4 + 6, 0]);
  });

  test("a connection that breaks before the answer leads to the same event again, on a new channel", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.breaksAfterTaking = 1;
    await it.output.write(versions("a"));
    await it.clock.pass(10_000);
    expect(it.network.indexed).toEqual(["a", "a"]);
    expect(channelsOf(it)).toEqual(["1", "2"]);
    expect(waiting(it)).toBe(0);
  });

  test("an answer that cannot be read confirms nothing", async () => {
    const it = story({ network: (n) => void n.indexer(A).scripted.push({ status: 200, body: "<html>" }) });
    await it.output.write(versions("a"));
    await it.clock.pass(500);
    expect(waiting(it)).toBeGreaterThan(0);
    await it.clock.pass(10_000);
    expect(it.network.indexed).toEqual(["a"]);
  });

  test("while nothing answers events wait on disk, and are delivered in order when it is back", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.down.add(A);
    for (const name of ["a", "b", "c"]) await it.output.write(versions(name));
    await it.clock.pass(120_000);
    expect(it.output.condition()).toMatchObject({ state: "down", failure: { code: "output-unreachable" } });

    it.network.down.clear();
    await it.clock.pass(90_000);

    expect(it.network.indexed).toEqual(["a", "b", "c"]);
    expect(it.log.texts.join("\n")).toContain("the receiver is back");
  });

  const takesNothing: readonly (readonly [string, (it: Story) => HecNetwork["onReply"]])[] = [
    ["answers 503", () => (reply) => ({ ...reply, status: 503, body: "Server is busy" })],
    [
      "hangs",
      ({ clock }) =>
        async () => {
          await clock.pause(60_000);
          throw new Failure("timed-out", {
            actor: "operator",
            retry: { when: "soon" },
            say: "HEC did not answer in time.",
          });
        },
    ],
    [
      "takes events and acknowledges none",
      () =>
        (reply, { url }) =>
          url.endsWith("/ack") ? { status: 200, body: '{"acks":{}}' } : reply,
    ],
    ["refuses connections", () => (reply) => reply],
  ];
  test.each(takesNothing)(
    "an hour in which HEC %s fills the spool to its limit and takes no memory for it, and all of it is delivered",
    async (how, broken) => {
      const it = story({ spoolBytes: HOUR.spoolBytes, network: (n) => n.indexer(A) });
      const { network, clock } = it;
      if (how === "refuses connections") network.down.add(A);
      network.onReply = broken(it);
      const indexed = new Set<string>();
      const forget = () => {
        // The fake remembers what it was sent, and what it has indexed.
        network.asked.splice(0);
        for (const event of network.indexed.splice(0)) indexed.add(event.slice(HOUR.eventBytes));
      };
      const held: number[] = [];
      const taken: string[] = [];
      for (let round = 1; round <= 3_600_000 / HOUR.everyMs; round += 1) {
        for (let batch = 0; batch < HOUR.batches; batch += 1) {
          const n = taken.length;
          const isTaken = await it.output.write(hourly(n)).then(
            () => true,
            () => false,
          );
          if (isTaken) taken.push(...hourlyNames(n));
        }
        await clock.pass(HOUR.everyMs, HOUR.everyMs);
        forget();
        if (HOUR.looks.includes(round)) held.push(await heldBytes());
      }
      const { state, spooledBytes, failure } = it.output.condition();
      expect([state, failure?.actor]).toEqual(["refusing", "operator"]);
      expect(spooledBytes).toBeLessThanOrEqual(HOUR.spoolBytes);
      expect(spooledBytes).toBeGreaterThan(HOUR.spoolBytes * 0.9);
      expect(Math.max(...held) - (held[0] as number)).toBeLessThan(HOUR.growthMostBytes);

      network.down.clear();
      network.onReply = (reply) => reply;
      for (let round = 0; round < 2_000 && waiting(it) > 0; round += 1) {
        await clock.pass(1_000, 1_000);
        forget();
      }

      expect(indexed).toEqual(new Set(taken));
    },
  );

  test("a full spool refuses events until some are confirmed", async () => {
    const it = story({ spoolBytes: 4_096, network: (n) => n.indexer(A) });
    it.network.down.add(A);
    await it.output.write(versions("a".repeat(3_000)));
    await expect(it.output.write(versions("b".repeat(3_000)))).rejects.toMatchObject({ code: "output-full" });
    expect(it.output.condition().state).toBe("refusing");
    expect(it.output.wants(keyOf("b".repeat(3_000)))).toBe(true);

    it.network.down.clear();
    await it.clock.pass(90_000);
    await it.output.write(versions("b".repeat(3_000)));
    await it.clock.pass(5_000);

    expect(it.network.indexed).toEqual(["a".repeat(3_000), "b".repeat(3_000)]);
    expect(it.output.condition().state).toBe("up");
  });

  test("a full spool makes collection wait, and nothing is refused, while Splunk goes on confirming", async () => {
    const it = story({ spoolBytes: 4_096, network: (n) => n.indexer(A, { indexAfterMs: 3_000 }) });
    await it.output.write(versions("a".repeat(3_000)));
    const second = it.output.write(versions("b".repeat(3_000)));
    await passUntil(it, () => it.network.indexed.length === 2);
    await expect(second).resolves.toBeUndefined();
    expect(it.output.condition().state).toBe("up");
  });

  test("a stop refuses at once what waits for room in a full spool", async () => {
    const it = story({ spoolBytes: 4_096, network: (n) => n.indexer(A, { indexAfterMs: 60_000 }) });
    await it.output.write(versions("a".repeat(3_000)));
    const refused = it.output.write(versions("b".repeat(3_000))).catch((error: unknown) => error);
    await settled();
    open.splice(open.indexOf(it.output), 1);
    const closed = it.output.close(0);
    await it.clock.pass(1_000);
    const outcome = await Promise.race([refused, settled()]);
    await it.clock.pass(120_000);
    await closed;

    expect(outcome).toMatchObject({ code: "output-full" });
  });

  test("with two addresses one that is gone costs nothing but itself", async () => {
    const it = story({ urls: [A, B], network: (n) => void n.indexer(B) });
    for (let i = 0; i < 5; i += 1) await it.output.write(versions(`a${i}`));
    await it.clock.pass(10_000);
    expect(it.network.indexed).toHaveLength(5);
    expect(it.output.condition().state).toBe("up");
  });
});

describe("on the wire", () => {
  test("a newer version of an object waits until HEC has taken the older one, and others do not wait", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    await it.output.write(versions("first"));
    await it.clock.pass(3_000);
    let answer: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    it.network.onReply = (reply, request) => (eventsIn(request.body)[0] === "a@1" ? held.then(() => reply) : reply);
    await it.output.write(versions("a@1"));
    await settled();
    await it.output.write(versions("b@1"));
    await settled();
    await it.output.write(versions("a@2"));
    await settled();
    const sent = it.network.posts.map(({ body }) => eventsIn(body));
    answer();
    expect(sent).toEqual([["first"], ["a@1"], ["b@1"]]);
    await settled();
    expect(it.network.posts.map(({ body }) => eventsIn(body)).at(-1)).toEqual(["a@2"]);
  });

  test("a request holds at most 500 events and 512 KiB", async () => {
    const it = story({ network: (n) => n.indexer(A) });
    it.network.down.add(A);
    for (let i = 0; i < 30; i += 1)
      await it.output.write(versions(...Array.from({ length: 40 }, (_, k) => `e${i}-${k}`)));
    await it.output.write(versions(...Array.from({ length: 5 }, (_, k) => `${k}`.repeat(200_000))));
    it.network.down.clear();
    await it.clock.pass(120_000);
    const arrived = it.network.posts.filter(({ url }) => url.startsWith(A)).map(({ body }) => body as Uint8Array);
    expect(Math.max(...arrived.map((body) => eventsIn(body).length))).toBe(500);
    expect(Math.max(...arrived.map((body) => body.length))).toBeLessThanOrEqual(1 << 19);
    expect(new Set(it.network.indexed).size).toBe(1_205);
    expect(waiting(it)).toBe(0);
  });

  test("a long catch-up takes no more memory for requests than those under way, whatever waits on disk", async () => {
    const it = story({ spoolBytes: 64 << 20, network: (n) => n.indexer(A) });
    const send = it.network.send.bind(it.network);
    const used = new Map<ArrayBufferLike, number>();
    const under = { way: 0, most: 0 };
    it.network.send = async (request) => {
      if (!request.url.endsWith("/event")) return send(request);
      const { buffer } = request.body as Uint8Array;
      used.set(buffer, buffer.byteLength);
      under.most = Math.max(under.most, (under.way += 1));
      return send(request).finally(() => void (under.way -= 1));
    };
    it.network.onReply = async (reply) => {
      await settled();
      return reply;
    };
    it.network.down.add(A);
    for (let n = 0; n < 60; n += 1) await it.output.write(versions(`${n}-${"x".repeat(300_000 + n * 1_000)}`));
    it.network.down.clear();
    await it.clock.pass(120_000);
    const sent = it.network.posts.length;
    it.network.asked.splice(0);

    expect([waiting(it), it.network.indexed.length]).toEqual([0, 60]);
    expect(sent).toBeGreaterThan(20);
    expect(under.most).toBe(4);
    // Four under way, one that a first request which failed may still hold, and sizes that did not fit.
    expect(used.size).toBeLessThanOrEqual(8);
    expect([...used.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(8 << 20);
  });

  test("gzip compresses the events, and they are the same", async () => {
    const it = story({ gzip: true, network: (n) => n.indexer(A) });
    await it.output.write(versions("a", "b"));
    await it.clock.pass(3_000);
    const [post] = it.network.posts;
    expect(post?.headers["content-encoding"]).toBe("gzip");
    expect(eventsIn(gunzipSync(post?.body as Uint8Array))).toEqual(["a", "b"]);
    expect(it.network.indexed).toEqual(["a", "b"]);
  });
});

describe("without a spool, because the writer keeps what it writes", () => {
  /** A write, and what became of it. */
  function written(it: Story, batch: Batch) {
    const one: { is: unknown } = { is: "waits" };
    void it.output.write(batch).then(
      () => (one.is = "confirmed"),
      (error: unknown) => (one.is = error),
    );
    return one;
  }
  const health: Batch = { bytes: Buffer.from('{"event":"health"}\n'), keys: [], ends: [] };

  test("a write ends when the indexer says that it has indexed the events, and nothing lies on disk", async () => {
    const it = story({ withoutSpool: true, network: (n) => n.indexer(A, { indexAfterMs: 5_000 }) });
    const write = written(it, versions("a", "b"));
    await it.clock.pass(4_000);
    expect([write.is, it.network.posts.length]).toEqual(["waits", 1]);
    expect(it.output.condition()).toMatchObject({ unconfirmed: 2, waitingSinceMs: EVENING_MS });
    await it.clock.pass(10_000);

    expect([write.is, it.network.indexed, waiting(it)]).toEqual(["confirmed", ["a", "b"], 0]);
    expect(fs.existsSync(join(it.folder, "outputs", "hec-1"))).toBe(false);
  });

  test("events that are only on their way are wanted when they come again, and confirmed ones are not", async () => {
    const it = story({ withoutSpool: true, network: (n) => n.indexer(A, { indexAfterMs: 5_000 }) });
    const { keys } = versions("a");
    written(it, versions("a"));
    await it.clock.pass(4_000);
    expect(keys.map((key) => it.output.wants(key))).toEqual([true]);
    await it.clock.pass(10_000);

    expect(keys.map((key) => it.output.wants(key))).toEqual([false]);
  });

  test("a write waits while the indexer forgets what it took, and ends when it was sent again and indexed", async () => {
    const it = story({ withoutSpool: true });
    const indexer = it.network.indexer(A, { indexAfterMs: 60_000 });
    const write = written(it, versions("a"));
    await it.clock.pass(2_000);
    indexer.restart();
    await it.clock.pass(290_000);
    expect(write.is).toBe("waits");
    await it.clock.pass(120_000);

    expect([write.is, new Set(it.network.indexed)]).toEqual(["confirmed", new Set(["a"])]);
  });

  test("a write whose events nobody confirmed before the output closes ends with a failure", async () => {
    const it = story({ withoutSpool: true, network: ({ down }) => down.add(A) });
    const write = written(it, versions("a"));
    await it.clock.pass(1_000);
    const closing = it.output.close(1_000);
    await it.clock.pass(2_000);
    await closing;

    expect(write.is).toMatchObject({ code: "output-unreachable" });
  });

  test("a write that comes after the output closed ends with the same failure", async () => {
    const it = story({ withoutSpool: true, network: (n) => n.indexer(A) });
    const closing = it.output.close(1_000);
    await it.clock.pass(2_000);
    await closing;
    const write = written(it, versions("a"));
    await it.clock.pass(1_000);

    expect(write.is).toMatchObject({ code: "output-unreachable" });
    expect(waiting(it)).toBe(0);
  });

  test("an event that is refused for good is kept in a file, and the write ends", async () => {
    const it = story({ withoutSpool: true, network: (n) => n.indexer(A) });
    const refused = { status: 400, headers: {}, body: '{"text":"Invalid","code":6,"invalid-event-number":0}' };
    it.network.onReply = (reply, { body }) => (eventsIn(body).includes("a") ? refused : reply);
    const write = written(it, versions("a", "b"));
    await it.clock.pass(5_000);
    await passUntil(it, () => write.is !== "waits");

    expect(write.is).toBe("confirmed");
    expect(it.output.condition()).toMatchObject({ rejected: 1 });
    expect(new RejectedEvents(it.folder, fs, it.clock).list(() => undefined)).toMatchObject([{ output: "outputs[0]" }]);
  });

  test("health waits for no receiver, and takes no more than its share of memory while it is down", async () => {
    const it = story({ withoutSpool: true, network: ({ down }) => down.add(A) });
    await it.output.write(health);
    const large: Batch = { ...health, bytes: Buffer.alloc(16 << 20, "x") };
    await expect(it.output.write(large)).rejects.toMatchObject({ code: "output-full" });
    it.network.down.delete(A);
    it.network.indexer(A);
    await it.clock.pass(10_000);

    expect(it.network.indexed).toEqual(["health"]);
    expect(waiting(it)).toBe(0);
  });
});
