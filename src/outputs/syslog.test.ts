import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { EVENING_MS, FakeClock, settled } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { batchOf, brokenDisk, errno, newFolder, Receiver } from "../../test/harness/fakes/receiver.ts";
import { ByteWriter } from "../json/byte-writer.ts";
import { SyslogOutput } from "./syslog.ts";
import type { FrameStyle } from "./syslog-frame.ts";
import { syslogDatagrams, writeSyslogFrames } from "./syslog-frame.ts";
import { UdpOutput } from "./udp.ts";

interface Story {
  readonly receiver: Receiver;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly output: SyslogOutput;
  readonly broken: () => number;
  readonly folder: string;
}

function story(
  options: {
    readonly receiver?: Receiver;
    readonly folder?: string;
    readonly spoolMib?: number;
    readonly disk?: typeof fs;
  } = {},
): Story {
  const { receiver = new Receiver(), folder = newFolder(), spoolMib = 8 } = options;
  const clock = new FakeClock(EVENING_MS);
  const log = new FakeLog();
  const output = new SyslogOutput({
    name: "outputs[0]",
    target: { host: "siem.example", port: 6514, protocol: "tls" },
    style: { format: "rfc3164", framing: "newline", host: "collector" },
    spoolBytes: spoolMib * 1_048_576,
    stateFolder: folder,
    dialer: receiver,
    disk: options.disk ?? fs,
    clock,
    random: FakeRandom.always(),
    log,
  });
  let times = 0;
  output.listen({ broken: () => (times += 1) });
  return { receiver, clock, log, output, broken: () => times, folder };
}

function framed(lines: string, style: FrameStyle, nowMs: number): string {
  const out = new ByteWriter();
  writeSyslogFrames(out, Buffer.from(lines), style, nowMs);
  return out.toString();
}

describe("a syslog message", () => {
  const at = new Date(2026, 10, 4, 9, 5, 7).getTime();
  test("ends with a line break after RFC 3164, the day padded with a space", () => {
    expect(framed("CEF:0|a\nCEF:0|ö\n", { format: "rfc3164", framing: "newline", host: "siem 1" }, at)).toBe(
      "<133>Nov  4 09:05:07 siem-1 CEF:0|a\n<133>Nov  4 09:05:07 siem-1 CEF:0|ö\n",
    );
  });

  test("begins with its length in bytes with octet framing", () => {
    expect(framed("CEF:0|ö\n", { format: "rfc3164", framing: "octet", host: "h" }, at)).toBe(
      "31 <133>Nov  4 09:05:07 h CEF:0|ö",
    );
  });

  test("holds CEF as the message of RFC 5424, a datagram per event", () => {
    expect(
      syslogDatagrams(Buffer.from("CEF:0|a\nCEF:0|b\n"), { format: "rfc5424", host: "h" }, Date.UTC(2026, 0, 2)).map(
        (one) => Buffer.from(one).toString("utf8"),
      ),
    ).toEqual([
      "<133>1 2026-01-02T00:00:00.000Z h defender-mssp - - - CEF:0|a",
      "<133>1 2026-01-02T00:00:00.000Z h defender-mssp - - - CEF:0|b",
    ]);
  });
});

describe("while the receiver can be reached", () => {
  test("events go directly to it, in order, and nothing waits on disk", async () => {
    const { output, receiver } = story();

    await Promise.all([output.write(batchOf("a", "b")), output.write(batchOf("c"))]);

    expect(receiver.events).toEqual(["a", "b", "c"]);
    expect(output.condition()).toMatchObject({ state: "up", spooledBytes: 0 });
  });

  test("an event that it has is not wanted again", async () => {
    const { output } = story();
    await output.write(batchOf("a"));
    expect([output.wants("a"), output.wants("b")]).toEqual([false, true]);
  });
});

describe("while the receiver cannot be reached", () => {
  test("the log says which events are lost when a file of the spool was deleted", async () => {
    const { output, receiver, clock, log, folder } = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    await output.write(batchOf("a"));
    fs.unlinkSync(join(folder, "spool", "000000001.spool"));
    receiver.up = true;
    await clock.pass(120_000);
    await output.write(batchOf("b"));

    expect(receiver.events).toEqual(["b"]);
    expect(log.lines.filter(({ message }) => message.includes("damaged or deleted"))).toMatchObject([
      { level: "error", fields: { output: "outputs[0]", next_step: expect.stringContaining("Check the disk") } },
    ]);
  });

  test("events wait on disk and arrive in order when it is back", async () => {
    const { output, receiver, clock } = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    await output.write(batchOf("a"));
    await output.write(batchOf("b"));
    expect(output.condition().state).toBe("down");

    receiver.up = true;
    await clock.pass(120_000);
    await output.write(batchOf("c"));

    expect(receiver.events).toEqual(["a", "b", "c"]);
    expect(output.condition()).toMatchObject({ state: "up", spooledBytes: 0 });
  });

  test("connecting is retried with pauses that double up to a minute, and reported once", async () => {
    const { receiver, clock, log } = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    await settled();
    expect(receiver.attempts).toBe(1);

    await clock.pass(64_000);
    expect(receiver.attempts).toBe(7);
    await clock.pass(3_600_000);
    expect(receiver.attempts).toBe(7 + 60);
    expect(log.texts.filter((line) => line.startsWith("error"))).toHaveLength(1);
  });

  test("a full spool is refused in one sentence, and what was refused is wanted again", async () => {
    const { output, receiver, clock } = story({ receiver: Object.assign(new Receiver(), { up: false }), spoolMib: 1 });
    const large = "x".repeat(700_000);
    await output.write(batchOf(large));

    await expect(output.write(batchOf(`${large}y`))).rejects.toMatchObject({
      code: "output-full",
      say: expect.stringContaining("its spool of 1 MiB is full"),
    });
    expect(output.wants(`${large}y`)).toBe(true);
    expect(output.condition().state).toBe("refusing");

    receiver.up = true;
    await clock.pass(120_000);
    await output.write(batchOf(`${large}y`));
    expect(receiver.events).toEqual([large, `${large}y`]);
  });

  test("a full disk under the spool is refused, and the rest of the spool stays good", async () => {
    const broken = brokenDisk();
    const { output, receiver, clock } = story({
      receiver: Object.assign(new Receiver(), { up: false }),
      disk: broken.disk as typeof fs,
    });
    await output.write(batchOf("a"));
    broken.failing = { writeSync: () => errno("ENOSPC") };
    await expect(output.write(batchOf("b"))).rejects.toMatchObject({ code: "output-full" });
    broken.failing = {};
    await output.write(batchOf("c"));

    receiver.up = true;
    await clock.pass(120_000);

    expect(receiver.events).toEqual(["a", "c"]);
  });

  test("what waits survives a kill, also one in the middle of a record", async () => {
    const first = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    await first.output.write(batchOf("a"));
    await first.output.write(batchOf("b"));
    const spool = join(first.folder, "spool", "000000001.spool");
    fs.truncateSync(spool, fs.statSync(spool).size - 1);

    const second = story({ folder: first.folder });
    await second.clock.pass(1_000);

    expect(second.receiver.events).toEqual(["a"]);
    expect([second.output.wants("a"), second.output.wants("b")]).toEqual([false, true]);
  });

  test("after a normal stop only what was not sent is sent", async () => {
    const first = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    for (const event of ["a", "b", "c"]) await first.output.write(batchOf(event));
    first.receiver.up = true;
    await first.clock.pass(120_000);
    first.receiver.up = false;
    first.receiver.reset();
    await settled();
    await first.output.write(batchOf("d"));
    first.receiver.text = "";
    const closing = first.output.close(1_000);
    await first.clock.pass(2_000);
    await closing;

    const second = story({ folder: first.folder });
    await second.clock.pass(1_000);

    // The connection broke, so what had come out of the spool lately goes out again.
    expect(second.receiver.events).toEqual(["a", "b", "c", "d"]);
  });
});

describe("when a connection breaks", () => {
  test("the events of the last hour are pending, the engine is informed once, and what it sends again is accepted", async () => {
    const { output, receiver, clock, broken } = story();
    await output.write(batchOf("old"));
    await clock.pass(3_600_001, 60_000);
    await output.write(batchOf("a", "b"));

    receiver.reset();
    await clock.pass(2_000);

    expect(broken()).toBe(1);
    expect(["old", "a", "b"].filter((key) => output.wants(key))).toEqual(["a", "b"]);
    await output.write(batchOf("a", "b"));
    expect(receiver.events).toEqual(["old", "a", "b", "a", "b"]);
    expect(["a", "b"].filter((key) => output.wants(key))).toEqual([]);
  });

  test("nothing is pending when nothing was sent", async () => {
    const { receiver, clock, broken } = story();
    await settled();
    receiver.reset();
    await clock.pass(2_000);
    expect(broken()).toBe(0);
  });

  test("what came out of the spool is sent from it again, and the engine is not asked for it", async () => {
    const { output, receiver, clock, broken } = story({ receiver: Object.assign(new Receiver(), { up: false }) });
    await output.write(batchOf("a"));
    receiver.up = true;
    receiver.swallows = true;
    await clock.pass(5_000);
    expect(output.condition().spooledBytes).toBe(0);

    receiver.swallows = false;
    receiver.reset();
    await clock.pass(5_000);

    expect(receiver.events).toEqual(["a"]);
    expect(broken()).toBe(0);
    expect(output.wants("a")).toBe(false);
  });

  test("the events that were on their way go to the spool", async () => {
    const { output, receiver, clock } = story();
    await settled();
    receiver.stalled = true;
    const writing = output.write(batchOf("a"));
    await settled();
    receiver.stalled = false;
    receiver.reset();
    await writing;

    await clock.pass(5_000);

    expect(receiver.events).toEqual(["a"]);
  });

  test("a receiver that accepts nothing for a minute counts as gone", async () => {
    const { output, receiver, clock, log } = story();
    await settled();
    receiver.stalled = true;
    const writing = output.write(batchOf("a"));

    await clock.pass(70_000);
    await writing;

    expect(log.texts.join("\n")).toContain("took nothing for 60 s");
    expect(receiver.connections).toBeGreaterThan(1);
  });

  test("a receiver that accepts something each minute does not count as gone, and nothing is sent twice to it", async () => {
    const { output, receiver, clock, log } = story();
    await settled();
    receiver.taking = (bytes) => clock.pause(bytes / 8);
    const large = "x".repeat(600_000);
    const writing = output.write(batchOf(large));

    await clock.pass(200_000);
    await writing;

    expect(receiver.connections).toBe(1);
    expect(receiver.events).toEqual([large]);
    expect(log.texts.join("\n")).not.toContain("took nothing");
  });

  test("a receiver that accepts a piece in a hundred seconds gets everything in the end, not its beginning for ever", async () => {
    const { output, receiver, clock } = story();
    await settled();
    receiver.taking = () => clock.pause(100_000);
    const large = "x".repeat(600_000);
    const writing = output.write(batchOf(large));
    await clock.pass(110_000);
    await writing;

    await clock.pass(500_000);

    expect(receiver.events).toEqual([large]);
    expect(output.condition()).toMatchObject({ state: "up", spooledBytes: 0 });
  });

  test("nothing is lost and the order is kept, whenever it breaks and whatever it loses", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("write", "write", "write", "down", "up", "reset", "swallow", "time"), {
          maxLength: 40,
        }),
        async (steps) => {
          const { output, receiver, clock } = story();
          let pending = false;
          output.listen({ broken: () => (pending = true) });
          const written: string[] = [];
          const replay = async () => {
            // As the engine does: everything provisional comes again, oldest first.
            while (pending) {
              pending = false;
              for (const key of written) if (output.wants(key)) await output.write(batchOf(key));
            }
          };
          for (const step of steps) {
            if (step === "write") {
              written.push(`e${written.length}`);
              await output.write(batchOf(written.at(-1) as string));
            } else if (step === "down" || step === "up") receiver.up = step === "up";
            else if (step === "reset") {
              receiver.reset();
              receiver.swallows = false;
            } else if (step === "swallow") receiver.swallows = receiver.connections > 0;
            else await clock.pass(3_000);
            await settled();
            await replay();
          }
          // Whatever was swallowed comes to light when that connection breaks.
          receiver.up = true;
          receiver.swallows = false;
          receiver.reset();
          for (let i = 0; i < 5; i += 1) {
            await clock.pass(61_000);
            await replay();
          }
          expect([...new Set(receiver.events)].sort()).toEqual([...written].sort());
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("at a stop", () => {
  test("a receiver that does not close the connection normally gets the events of the last hour again, those of the spool from the spool", async () => {
    const { output, receiver, clock, broken, folder } = story({
      receiver: Object.assign(new Receiver(), { up: false }),
    });
    await output.write(batchOf("spooled"));
    receiver.up = true;
    await clock.pass(5_000);
    await output.write(batchOf("a"));

    receiver.hangs = true;
    await output.close(1_000);

    expect(broken()).toBe(1);
    expect(["spooled", "a"].filter((key) => output.wants(key))).toEqual(["a"]);
    const second = story({ folder });
    await second.clock.pass(1_000);
    expect(second.receiver.events).toEqual(["spooled"]);
  });

  test("nothing is pending when the receiver closes the connection too", async () => {
    const { output, broken } = story();
    await output.write(batchOf("a"));
    await output.close(1_000);
    expect(broken()).toBe(0);
  });
});

describe("UDP", () => {
  test("does not guarantee delivery, and says so when it fails", async () => {
    const receiver = new Receiver();
    const log = new FakeLog();
    const clock = new FakeClock(EVENING_MS);
    const output = new UdpOutput({
      name: "outputs[0]",
      host: "siem.example",
      port: 514,
      style: { format: "rfc3164", host: "h" },
      dialer: receiver,
      clock,
      log,
    });
    await output.write(batchOf("a"));
    receiver.up = false;
    await output.write(batchOf("b", "c"));

    expect(receiver.events).toEqual(["a"]);
    expect(log.texts).toEqual([expect.stringContaining("UDP does not guarantee delivery")]);
    expect(["a", "b"].filter((key) => output.wants(key))).toEqual([]);
  });
});
