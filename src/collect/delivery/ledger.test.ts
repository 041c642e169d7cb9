import { expect, test } from "@jest/globals";
import { almostCollided } from "../../../test/contracts/store-contract.ts";
import { Ledger } from "./ledger.ts";

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
