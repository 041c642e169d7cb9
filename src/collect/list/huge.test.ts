import { describe, expect, test } from "@jest/globals";
import { alerts, HOUR, MINUTE, SimStream, serviceError, ticks, World } from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";
import { Failure } from "../../model/failure.ts";
import type { UnreadableRecord } from "../../model/record.ts";

/** A stream whose record `huge` is too large for memory, at its place in the list. */
function withHuge(options: { readonly breaksTimes?: number; readonly mib?: number } = {}) {
  const world = new World();
  const stream = new SimStream(world.clock);
  stream.add(...alerts(5, T0 - HOUR, T0 - MINUTE));
  const at = ticks(T0 - 30 * MINUTE);
  const tooLarge: UnreadableRecord = {
    readable: false,
    reason: "too-large",
    id: "huge",
    updated: at,
    byteLength: 50_000_000,
    sha256: "cd".repeat(32),
  };
  const ask = stream.ask.bind(stream);
  stream.ask = async (question, signal) => {
    if ((question.from ?? 0n) <= at && (question.skip ?? 0) === 0) stream.extra = [tooLarge];
    return ask(question, signal);
  };
  let breaks = options.breaksTimes ?? 0;
  const fetched: bigint[] = [];
  Object.assign(stream, {
    fetchHuge: async (wanted: { id: string; updated: bigint }, keep: (bytes: Uint8Array) => Promise<void>) => {
      fetched.push(wanted.updated);
      await keep(Buffer.from("{"));
      if (breaks-- > 0) throw serviceError();
      for (let i = 0; i < (options.mib ?? 0); i += 1) await keep(Buffer.alloc(1 << 20, " "));
      await keep(Buffer.from("}"));
      return { kind: "alert", id: "huge", updated: at };
    },
  });
  const customer = world.customer(stream);
  return { world, stream, customer, fetched };
}

describe("a record above record_max_mib", () => {
  test("goes out in pieces, once, with its key", async () => {
    const { world, customer } = withHuge();
    await world.start();
    await world.clock.advance(2 * HOUR);
    const sent = world.sentOf(customer).filter((s) => s.id === "huge");
    expect(sent.map((s) => [s.change, s.found, s.key])).toEqual([
      ["new", "poll", `${customer.tenant.id}:alerts:alert:huge:2026-11-24T11:30:00.0000000Z`],
    ]);
    expect(world.sentOf(customer)).toHaveLength(6);
  });

  test("whose fetch is interrupted is not written at all, and is sent after the next try", async () => {
    const { world, customer, fetched } = withHuge({ breaksTimes: 2 });
    await world.start();
    await world.clock.advance(20 * MINUTE);
    expect(fetched.length).toBeGreaterThanOrEqual(3);
    expect(world.sentOf(customer).filter((s) => s.id === "huge")).toHaveLength(1);
    expect(world.sentOf(customer)).toHaveLength(6);
  });

  test("is sent again after a crash, as everything provisional", async () => {
    const { world, customer } = withHuge();
    await world.start();
    await world.clock.advance(10_000);
    await world.kill();
    world.sink.sent.length = 0;
    await world.start();
    await world.clock.advance(MINUTE);
    expect(world.sentOf(customer).find((s) => s.id === "huge")).toMatchObject({ found: "replay", change: "new" });
  });

  test("pushes out of the window only what goes out of it, so that a broken connection brings the small ones again too", async () => {
    const { world } = withHuge({ mib: 17 });
    Object.assign(world.sink, { hugeMostBytes: 1 << 20 });
    world.replayMib = 16;
    const scheduler = await world.start();
    await world.clock.advance(MINUTE);
    expect(scheduler.replayProvisional()).toBe(6);
  });

  test("is asked for again when the output refuses it, and goes out once, with the same key", async () => {
    const { world, customer, fetched } = withHuge();
    const write = world.sink.writeHuge.bind(world.sink);
    let refusals = 2;
    world.sink.writeHuge = async (delivery, pieces) => {
      if (refusals-- > 0) throw new Failure("output-full", { actor: "operator", retry: { when: "soon" }, say: "full" });
      return write(delivery, pieces);
    };
    world.sink.kind = "durable";
    await world.start();
    await world.clock.advance(HOUR);
    expect(fetched.length).toBeGreaterThanOrEqual(3);
    expect(world.sentOf(customer).filter((s) => s.id === "huge")).toEqual([
      expect.objectContaining({
        change: "new",
        found: "poll",
        key: `${customer.tenant.id}:alerts:alert:huge:2026-11-24T11:30:00.0000000Z`,
      }),
    ]);
    expect(world.sentOf(customer)).toHaveLength(6);
  });

  test("is reported with id, length and hash where the output cannot take it in pieces", async () => {
    const { world, customer } = withHuge();
    Object.assign(world.sink, { writeHuge: undefined });
    await world.start();
    await world.clock.advance(MINUTE);
    expect(world.sentOf(customer)).toHaveLength(5);
    expect(world.sink.healths.find((h) => h.streams[0]?.failure === "record-quarantined")?.streams[0]?.say).toContain(
      "id huge",
    );
  });
});

test("a page full of records without id or time does not look like the end of the list", async () => {
  const world = new World();
  const stream = new SimStream(world.clock, {
    regime: { order: "ascending", links: false, clamp: 10, pageTop: 10, skipMax: 500 },
  });
  stream.add(...alerts(5, T0 - HOUR, T0 - MINUTE));
  const unusable: UnreadableRecord = { readable: false, reason: "no-time", byteLength: 10, sha256: "ef".repeat(32) };
  const ask = stream.ask.bind(stream);
  stream.ask = async (question, signal) => {
    // Ten unusable rows come before the others.
    const skip = question.skip ?? 0;
    if (skip >= 10) return ask({ ...question, skip: skip - 10 }, signal);
    const page = await ask(question, signal);
    return {
      ...page,
      batches: (async function* () {
        yield Array.from({ length: 10 }, () => unusable);
      })(),
    };
  };
  const customer = world.customer(stream);
  await world.start();
  await world.clock.advance(MINUTE / 2);
  expect(world.sentOf(customer)).toHaveLength(5);
});
