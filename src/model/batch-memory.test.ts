import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { BatchMemory } from "./batch-memory.ts";

test("memory is lent to one batch at a time, is always large enough, and little of it is kept", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3_000_000), fc.boolean()), { maxLength: 40 }), (calls) => {
      const memory = new BatchMemory();
      const lent = new Set<Buffer>();
      const seen = new Set<Buffer>();
      for (const [byteLength, gives] of calls) {
        const one = memory.lend(byteLength);
        expect(one.length).toBeGreaterThanOrEqual(byteLength);
        expect(lent.has(one)).toBe(false);
        lent.add(one);
        seen.add(one);
        const [first] = lent;
        if (!gives || first === undefined) continue;
        lent.delete(first);
        memory.release(first);
      }
      for (const one of lent) memory.release(one);
      expect(memory.keptBytes).toBeLessThanOrEqual(4 << 20);
      expect(memory.keptBytes).toBeLessThanOrEqual([...seen].reduce((sum, { length }) => sum + length, 0));
    }),
  );
});

test("released memory is used for the next batch", () => {
  const memory = new BatchMemory();
  const one = memory.lend(1000);
  memory.release(one);
  expect(memory.lend(2000)).toBe(one);
});
