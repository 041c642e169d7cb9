import { expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock } from "../../test/harness/fakes/clock.ts";
import { type HecBatch, HecBatches } from "./hec-batches.ts";
import { UnconfirmedBatches } from "./unconfirmed-batches.ts";

/** More than fits into one request together. */
const LINE_BYTES = 700_000;

const keyOf = (name: string) =>
  `contoso|11111111-2222-4333-8444-555555555555:alerts:alert:${name}:2026-11-24T16:00:00.0000000Z`;

/** @param names one letter each: a line is full of its name. */
function batchesOf(...names: readonly string[]) {
  const queue = new UnconfirmedBatches(new FakeClock(EVENING_MS));
  for (const name of names)
    void queue.add({ bytes: Buffer.from(`${name.repeat(LINE_BYTES)}\n`), keys: [keyOf(name)], ends: [] });
  return new HecBatches(queue);
}

const letters = ({ bytes }: HecBatch) => [...new Set(Buffer.from(bytes).toString("latin1").trimEnd())].join("");

test("a batch keeps its bytes until HEC has it, whatever was taken and cut meanwhile", () => {
  const batches = batchesOf("a", "b", "c", "d", "e");
  const [a, b] = [batches.next(), batches.next()] as [HecBatch, HecBatch];
  batches.taken(a);
  const c = batches.next() as HecBatch;
  batches.putBack(b);
  batches.taken(c);
  expect(letters(batches.next() as HecBatch)).toBe("b");
  const [d, e] = [batches.next(), batches.next()] as [HecBatch, HecBatch];
  expect([b, d, e].map(letters)).toEqual(["b", "d", "e"]);
  expect(new Set([b, d, e].map(({ bytes }) => bytes.buffer)).size).toBe(3);
});

test("the memory of a batch that HEC has serves the next one, so that a long catch-up makes no garbage of its size", () => {
  const batches = batchesOf(..."abcdefgh".split(""));
  const used = new Set<ArrayBufferLike>();
  const seen: string[] = [];
  for (let batch = batches.next(); batch !== undefined; batch = batches.next()) {
    used.add(batch.bytes.buffer);
    seen.push(letters(batch));
    batches.taken(batch);
  }
  expect(seen.join("")).toBe("abcdefgh");
  expect(used.size).toBe(1);
});

test("the memory of a batch that was put back serves no other one: the request that failed may still send it", () => {
  const batches = batchesOf("a", "b");
  const first = batches.next() as HecBatch;
  batches.putBack(first);
  const again = batches.next() as HecBatch;
  batches.taken(again);
  const b = batches.next() as HecBatch;
  expect([first, again, b].map(letters)).toEqual(["a", "a", "b"]);
});

test("the halves of a batch that is too large keep their bytes while other batches are cut and taken", () => {
  const queue = new UnconfirmedBatches(new FakeClock(EVENING_MS));
  const line = (name: string, bytes: number) => `${name.repeat(bytes)}\n`;
  void queue.add({ bytes: Buffer.from(line("a", 10) + line("b", 10)), keys: ["a", "b"].map(keyOf), ends: [] });
  const batches = new HecBatches(queue);
  const whole = batches.next() as HecBatch;
  batches.halve(whole);
  void queue.add({ bytes: Buffer.from(line("c", 40)), keys: [keyOf("c")], ends: [] });
  const first = batches.next() as HecBatch;
  const c = batches.next() as HecBatch;
  expect([first, c].map(letters)).toEqual(["a", "c"]);
  batches.taken(first);
  expect(letters(batches.next() as HecBatch)).toBe("b");
});

test("a batch that is sent again keeps its bytes when its first sending is confirmed and the writer uses the memory", () => {
  const queue = new UnconfirmedBatches(new FakeClock(EVENING_MS));
  const bytes = Buffer.from("aaaa\n");
  void queue.add({ bytes, keys: [keyOf("a")], ends: [] });
  const batches = new HecBatches(queue);
  const late = batches.next() as HecBatch;
  batches.taken(late);
  batches.sendAgain([late]);
  const again = batches.next() as HecBatch;
  batches.confirm(late, { keepsAWhile: false });
  bytes.fill("x");
  expect(letters(again)).toBe("a");
});

test("a line that is acknowledged for two sendings of it counts once, and never for another line of its record", () => {
  const queue = new UnconfirmedBatches(new FakeClock(EVENING_MS));
  const names = ["a", "b", "c", "d"];
  void queue.add({ bytes: Buffer.from(names.map((name) => `${name}\n`).join("")), keys: names.map(keyOf), ends: [] });
  const batches = new HecBatches(queue);
  const confirmed = { keepsAWhile: false };
  const whole = batches.next() as HecBatch;
  batches.taken(whole);
  batches.sendAgain([whole]);
  batches.halve(batches.next() as HecBatch);
  const first = batches.next() as HecBatch;
  batches.taken(first);
  const second = batches.next() as HecBatch;
  for (const one of [first, first]) batches.confirm(one, confirmed);
  expect([queue.waitingBytes, [first, second, whole].map((one) => batches.isConfirmed(one))]).toEqual([
    8,
    [true, false, false],
  ]);
  batches.confirm(whole, confirmed);
  expect([queue.waitingBytes, batches.isConfirmed(second)]).toEqual([0, true]);
});

test("what an earlier sending confirmed meanwhile is not sent again, whether it was put back or never left", () => {
  const batches = batchesOf("a", "b", "c");
  const [a, b] = [batches.next(), batches.next()] as [HecBatch, HecBatch];
  batches.taken(a);
  batches.sendAgain([a]);
  batches.putBack(b);
  for (const one of [a, b]) batches.confirm(one, { keepsAWhile: false });
  expect(letters(batches.next() as HecBatch)).toBe("c");
  expect(batches.next()).toBeUndefined();
});
