import { rowId } from "./api/hunting.ts";
import type { Version } from "./records.ts";
import { STREAM_NAMES, STREAMS } from "./streams.ts";
import type { World } from "./world.ts";

/**
 * Every version a poll could see, one JSON line each:
 * `{"tenant_id","stream","kind","id","updated","shown_at","record"}`.
 *
 * A version counts as shown when it was in any answer, or when it stood in the list while a poll came by that
 * list and nothing has replaced it since. "A poll came by" means any list request that was answered; a
 * version older than the earliest lower bound that any request of that list has put on the update time (or
 * creation time) does not count. `shown_at` is the simulator's time at which it became visible, for what was
 * there from the start the first such poll.
 */
export function* shownLines(world: World): Generator<string> {
  for (const customer of world.customers.values()) {
    for (const stream of STREAM_NAMES) {
      const facts = STREAMS[stream];
      const first = new Map<string, Version>();
      for (const version of customer.tables[stream].shown()) {
        const record = sentText(version);
        const key = `${version.id} ${version.updatedTicks}`;
        const before = first.get(key);
        // The same version twice counts once, unless its bytes differ.
        if (before !== undefined && sentText(before) === record) continue;
        first.set(key, version);
        const named = version.unkeyed === true ? {} : { id: version.id, updated: version.updated };
        yield line(
          {
            tenant_id: customer.identity.tenantId,
            stream,
            kind: facts.kind,
            ...named,
            shown_at: textOf(version.seenAtMs ?? world.startMs),
          },
          record,
        );
      }
    }
    for (const [row, { updated, atMs }] of customer.hunting.shown) {
      yield line(
        {
          tenant_id: customer.identity.tenantId,
          stream: "hunting",
          kind: "row",
          id: rowId(row),
          updated,
          shown_at: textOf(atMs),
        },
        row,
      );
    }
  }
}

/** As it went out; one that stood in the list and was not fetched, as it would have. */
const sentText = (version: Version): string => version.sentAs?.(version) ?? version.text();

const textOf = (ms: number): string => new Date(ms).toISOString();

/** The record is put in as it went out, byte for byte. */
const line = (head: object, record: string): string => `${JSON.stringify(head).slice(0, -1)},"record":${record}}\n`;
