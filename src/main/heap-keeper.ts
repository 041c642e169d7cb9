import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../model/ports.ts";

/** The runtime's heap, as far as we look at it. */
export interface Heap {
  /** Bytes in use now, garbage included, with what lies outside on behalf of objects. */
  usedBytes(): number;
  /** A whole collection, at once. */
  collect(): void;
}

const LOOK_EVERY_MS = 1_000;
/** Below this a collection is not worth its pause: a few customers never get here. */
const LEAST_BYTES = 64e6;
/** So much above what the last collection left. */
const GROWN = 1.25;

/**
 * Has the heap collected when it has grown by a quarter since the last time, until `stop` fires. Without this
 * the garbage of many idle customers more than doubles the heap before the runtime collects it
 * (docs/decisions/heap-keeper.md).
 */
export async function keepHeapSmall(heap: Heap, clock: Clock, stop: AbortSignal): Promise<void> {
  let limitBytes = LEAST_BYTES;
  while (!stop.aborted) {
    await clock.pause(LOOK_EVERY_MS, stop);
    if (stop.aborted || heap.usedBytes() <= limitBytes) continue;
    heap.collect();
    limitBytes = Math.max(LEAST_BYTES, heap.usedBytes() * GROWN);
  }
}

type Collect = (options: { readonly type: "major"; readonly execution: "sync" }) => void;

/** The heap of this process. */
export function ownHeap(): Heap {
  let collect: Collect | undefined;
  return {
    usedBytes() {
      const { used_heap_size: used, external_memory: outside } = getHeapStatistics();
      return used + outside;
    },
    collect() {
      // As a flag of the executable it would be one more thing that decides whether the code cache is taken;
      // set late it counts for new contexts only.
      if (collect === undefined) {
        setFlagsFromString("--expose-gc");
        collect = runInNewContext("gc") as Collect;
      }
      collect({ type: "major", execution: "sync" });
    },
  };
}
