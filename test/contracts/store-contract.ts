/** What every store of streams must do, whatever it keeps its state in. */
import { describe, expect, test } from "@jest/globals";
import type { Checkpoint, LedgerEntry, StreamStore } from "../../src/model/state.ts";
import type { TenantId } from "../../src/model/tenant.ts";

export const KEY = {
  stanza: "Contoso",
  tenantId: "11111111-2222-4333-8444-555555555555" as TenantId,
  stream: "alerts",
} as const;

export function entry(n: number): LedgerEntry {
  return {
    hash: [n, n + 1, n + 2, n + 3],
    updated: BigInt(n),
    writtenAtS: n,
    byteLength: n,
    bodyCrc: n,
    change: "new",
  };
}

export function checkpoint(n: number): Checkpoint {
  return {
    version: 1,
    start: 0n,
    upTo: BigInt(n),
    nextPollAtMs: n,
    nextSweepAtMs: n,
    pollsSinceFullReach: 0,
  };
}

/** One object, and one for each bit in which a hash can differ from its own. */
export function almostCollided(): readonly LedgerEntry[] {
  const base = [0x89abcdef, 0x01234567, 0xfedcba98, 0x76543210].map((word) => word | 0);
  const flipped = Array.from({ length: 128 }, (_, bit) =>
    base.map((word, i) => (i === bit >> 5 ? word ^ (1 << (bit & 31)) : word)),
  );
  return [base, ...flipped].map(([a = 0, b = 0, c = 0, d = 0], i) => ({ ...entry(i + 1), hash: [a, b, c, d] }));
}

function textOf({ hash, updated }: LedgerEntry): string {
  return `${hash.join(" ")} ${updated}`;
}

export interface OpenedStore {
  readonly store: StreamStore;
  /** The process ends as by a kill; what was committed stays. */
  crash(): Promise<OpenedStore>;
}

/** @param open a new store without content. */
export function storeContract(name: string, open: () => Promise<OpenedStore>): void {
  describe.each([name])("%s", () => {
    test("is empty when it is new", async () => {
      const { store } = await open();

      expect(store.checkpoint).toBeUndefined();
      expect(store.takeEntries()).toEqual([]);
    });

    test("has after a crash every entry that was committed, in the order of the commits", async () => {
      const first = await open();
      await first.store.commit({ entries: [entry(1), entry(2)] });
      await first.store.commit({ entries: [entry(3)] });
      const second = await first.crash();

      expect(second.store.takeEntries()).toEqual([entry(1), entry(2), entry(3)]);
      await second.store.commit({ entries: [entry(4)] });
      expect((await second.crash()).store.takeEntries()).toEqual([1, 2, 3, 4].map(entry));
    });

    test("has after a crash the newest checkpoint that was committed, and with it every entry before it", async () => {
      const first = await open();
      await first.store.commit({ entries: [entry(1)], checkpoint: checkpoint(1) });
      await first.store.commit({ checkpoint: checkpoint(2) });
      await first.store.commit({ entries: [entry(2)] });
      const second = await first.crash();

      expect(second.store.checkpoint).toEqual(checkpoint(2));
      expect(second.store.takeEntries()).toEqual([entry(1), entry(2)]);
    });

    test("holds after a compaction what the compaction was given and what was committed since", async () => {
      const first = await open();
      await first.store.commit({ entries: [1, 2, 3, 4].map(entry) });
      await first.store.compact([entry(2), entry(4)]);
      await first.store.commit({ entries: [entry(5)] });
      await first.store.flush();

      expect((await first.crash()).store.takeEntries()).toEqual([entry(2), entry(4), entry(5)]);
    });

    test("holds of an object what was committed last, also when one page has two of its versions", async () => {
      const first = await open();
      const later = (n: number): LedgerEntry => ({ ...entry(n), hash: entry(1).hash });
      await first.store.commit({ entries: [entry(1), later(2)] });
      await first.store.commit({ entries: [later(3)] });
      const entries = (await first.crash()).store.takeEntries();

      expect(entries.at(-1)).toEqual(later(3));
    });

    test("keeps objects apart whose hashes differ in one bit, whichever it is, also after a compaction", async () => {
      const all = almostCollided();
      const first = await open();
      await first.store.commit({ entries: all });
      const second = await first.crash();
      expect(second.store.takeEntries()).toEqual(all);
      const later = all.map((one) => ({ ...one, updated: one.updated + 1_000n }));
      for (const one of later.slice(0, 3)) await second.store.commit({ entries: [one] });
      const newest = [...later.slice(0, 3), ...all.slice(3)];
      await second.store.compact(newest);
      await second.store.flush();
      const left = (await second.crash()).store.takeEntries();

      expect(left).toHaveLength(129);
      expect(new Set(left.map(textOf))).toEqual(new Set(newest.map(textOf)));
    });

    test("an empty commit changes nothing", async () => {
      const first = await open();
      await first.store.commit({});
      await first.store.commit({ entries: [] });
      const second = await first.crash();

      expect(second.store.checkpoint).toBeUndefined();
      expect(second.store.takeEntries()).toEqual([]);
    });
  });
}
