import { afterEach, expect, jest, test } from "@jest/globals";
import { almostCollided } from "../../../test/contracts/store-contract.ts";
import { Ledger, objectHash } from "./ledger.ts";

afterEach(() => void jest.restoreAllMocks());

test("objects whose hashes differ in one bit hide nothing of each other, whichever bit it is", () => {
  const ledger = new Ledger();
  const [one, ...others] = almostCollided();
  if (one === undefined) throw new Error("no entries");
  ledger.put({ ...one, updated: 1_000_000n });
  for (const other of others) {
    // Older than the one before: taken for the same object it would never be sent.
    expect(ledger.judge(other.hash, other.updated, () => other.bodyCrc)).toEqual({ is: "unknown" });
    ledger.put(other);
  }

  expect(ledger.size).toBe(129);
  for (const other of others)
    expect(ledger.judge(other.hash, other.updated, () => other.bodyCrc)).toEqual({ is: "sent" });
  ledger.restore(one.hash, undefined);
  expect([ledger.get(one.hash), ledger.size]).toEqual([undefined, 128]);
});

test("a ledger that grows frees its smaller table at once, so that none waits for a collection of the heap", () => {
  // The test runner has an ArrayBuffer of its own beside that of typed arrays.
  const freed = jest.spyOn(Object.getPrototypeOf(new Int32Array(0).buffer) as ArrayBuffer, "transfer");
  const ledger = new Ledger();
  const sizes = new Set([ledger.byteLength]);
  for (let n = 0; n < 1_000; n += 1) {
    const hash = objectHash("alert", `a-${n}`);
    ledger.put({ hash, updated: BigInt(n), writtenAtS: 1, byteLength: 1, bodyCrc: n, change: "new" });
    sizes.add(ledger.byteLength);
  }
  const tables = freed.mock.contexts as readonly ArrayBuffer[];
  expect(tables.length).toBe(sizes.size - 1);
  expect(tables.every(({ byteLength }) => byteLength === 0)).toBe(true);
  expect([ledger.size, ledger.get(objectHash("alert", "a-0"))?.bodyCrc]).toEqual([1_000, 0]);
});
