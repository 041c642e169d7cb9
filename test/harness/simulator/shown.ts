import { masked } from "./api/records.ts";
import { STREAM_NAMES, STREAMS } from "./streams.ts";
import type { World } from "./world.ts";

/**
 * Every version a poll could see, one JSON line each: `{"tenant_id","stream","kind","id","updated","shown_at","record"}`.
 *
 * A version counts as shown when it was in any answer, or when it stood in the list while a poll came by that list and
 * nothing has replaced it since. "A poll came by" means any list request that was answered; a version older than the
 * earliest lower bound that any request of that list has put on the update time (or creation time) does not count.
 * `shown_at` is the simulator's time at which it became visible, for what was there from the start the first such poll.
 */
export function* shownLines(world: World): Generator<string> {
  for (const customer of world.customers.values()) {
    for (const stream of STREAM_NAMES) {
      const facts = STREAMS[stream];
      const written = new Set<string>();
      for (const version of customer.tables[stream].shown()) {
        const key = `${version.id} ${version.updatedTicks}`;
        if (written.has(key)) continue;
        written.add(key);
        const at = new Date(version.seenAtMs ?? version.visibleAtMs ?? world.clock.nowMs()).toISOString();
        const record = facts.api === "graph" && version.masked ? masked(version.text()) : version.text();
        const head = JSON.stringify({ tenant_id: customer.identity.tenantId, stream, kind: facts.kind, id: version.id, updated: version.updated, shown_at: at });
        yield `${head.slice(0, -1)},"record":${record}}\n`;
      }
    }
  }
}
