import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import type { ByteSink } from "./stream-pipe.ts";
import { PLAIN_LINES, SPLUNK_STREAM, StreamPipe } from "./stream-pipe.ts";

/** A stdout that takes a write only when the test lets it. */
class HandSink implements ByteSink {
  taken = "";
  waiting: { bytes: Uint8Array; done: (error?: Error | null) => void }[] = [];
  #onError: (error: Error) => void = () => {};

  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean {
    this.waiting.push({ bytes, done });
    return false;
  }

  on(_event: "error", listener: (error: Error) => void): void {
    this.#onError = listener;
  }

  async takeAll(): Promise<void> {
    for (let idle = 0; idle < 5; ) {
      const next = this.waiting.shift();
      if (next) {
        this.taken += Buffer.from(next.bytes).toString();
        next.done();
        idle = 0;
      } else idle += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  breakWith(code: string): void {
    this.#onError(Object.assign(new Error(code), { code }));
  }
}

const text = (value: string) => new TextEncoder().encode(value);
const soon = () => new Promise((resolve) => setImmediate(resolve));

describe("the stream", () => {
  test("opens before the first event and is closed once", async () => {
    const stdout = new HandSink();
    const pipe = new StreamPipe(stdout, new FakeClock(), SPLUNK_STREAM);
    const writes = [pipe.write(text("<a/>")), pipe.write(text("<b/>"))];
    const end = pipe.close();
    await stdout.takeAll();
    await Promise.all(writes);
    expect(await end).toBe("closed");
    expect(stdout.taken).toBe("<stream>\n<a/><b/></stream>\n");
  });

  test("is not sent when there was nothing to send", async () => {
    const stdout = new HandSink();
    const pipe = new StreamPipe(stdout, new FakeClock(), SPLUNK_STREAM);
    expect(await pipe.close()).toBe("closed");
    expect(stdout.waiting).toEqual([]);
  });

  test("hands over one piece at a time and waits for it", async () => {
    const stdout = new HandSink();
    const pipe = new StreamPipe(stdout, new FakeClock(), SPLUNK_STREAM);
    let written = false;
    const first = pipe.write(text("<a/>")).then(() => (written = true));
    const second = pipe.write(text("<b/>"));
    await soon();
    expect(stdout.waiting).toHaveLength(1);
    expect(written).toBe(false);
    await stdout.takeAll();
    await Promise.all([first, second]);
    expect(stdout.taken).toBe("<stream>\n<a/><b/>");
  });
});

test("plain lines have nothing around them, and their close tells whether all of them left", async () => {
  const stdout = new HandSink();
  const pipe = new StreamPipe(stdout, new FakeClock(), PLAIN_LINES);
  const written = pipe.write(text("{}\n"));
  await stdout.takeAll();
  await written;
  expect(await pipe.close()).toBe("closed");
  expect(stdout.taken).toBe("{}\n");

  const broken = new StreamPipe(stdout, new FakeClock(), PLAIN_LINES);
  const lost = broken.write(text("{}\n"));
  await soon();
  stdout.breakWith("EPIPE");
  await expect(lost).rejects.toMatchObject({ code: "host-gone" });
  expect(await broken.close()).toBe("cut");
});

describe("a reader that sleeps", () => {
  test("holds the end up for 2 s and no longer, and what waits is told", async () => {
    const stdout = new HandSink();
    const clock = new FakeClock();
    const pipe = new StreamPipe(stdout, clock, SPLUNK_STREAM);
    const waiting = pipe.write(text("<a/>"));
    await soon();
    const end = pipe.close();
    await soon();
    clock.endPauses();
    expect(await end).toBe("cut");
    await expect(waiting).rejects.toMatchObject({ code: "host-gone" });
  });

  test("after the end nothing is written", async () => {
    const pipe = new StreamPipe(new HandSink(), new FakeClock(), SPLUNK_STREAM);
    await pipe.close();
    await expect(pipe.write(text("<a/>"))).rejects.toMatchObject({ code: "host-gone" });
  });
});

describe("a reader that is gone", () => {
  test.each([
    ["EPIPE", "host-gone", true],
    ["EIO", "output-broken", false],
  ])("%s is %s", async (code, failure, gone) => {
    const stdout = new HandSink();
    const pipe = new StreamPipe(stdout, new FakeClock(), SPLUNK_STREAM);
    const waiting = pipe.write(text("<a/>"));
    await soon();
    stdout.breakWith(code);
    await expect(waiting).rejects.toMatchObject({ code: failure });
    await expect(pipe.write(text("<b/>"))).rejects.toMatchObject({ code: failure });
    expect(pipe.gone.aborted).toBe(gone);
    expect(await pipe.close()).toBe("cut");
  });

  test("told by the write's own callback too", async () => {
    const stdout = new HandSink();
    const pipe = new StreamPipe(stdout, new FakeClock(), SPLUNK_STREAM);
    const waiting = pipe.write(text("<a/>"));
    await soon();
    stdout.waiting.shift()!.done(Object.assign(new Error("x"), { code: "EPIPE" }));
    await expect(waiting).rejects.toMatchObject({ code: "host-gone" });
    expect(pipe.gone.aborted).toBe(true);
  });
});
