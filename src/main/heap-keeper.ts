import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../model/ports.ts";

/** The part of the runtime's heap that this module uses. */
export interface Heap {
  /** Bytes in use now, including garbage and external memory of objects. */
  usedBytes(): number;
  /** Runs a full garbage collection now. */
  collect(): void;
}

const LOOK_EVERY_MS = 1_000;
/** Below this a collection is not worth its pause. A few customers never reach it. */
const LEAST_BYTES = 64e6;
/** Growth since the last collection that triggers the next one. */
const GROWN = 1.25;

/**
 * Collects garbage whenever the heap has grown by a quarter since the last collection, until `stop` fires.
 * Without this the garbage of many idle customers more than doubles the heap before the runtime collects it
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
  // Otherwise the runtime puts objects of requests among its old ones when many of them have waited for an
  // answer, and all that they refer to grows old too. At run time, because of the code cache, as below.
  setFlagsFromString("--no-allocation-site-pretenuring");
  let collect: Collect | undefined;
  return {
    usedBytes() {
      const { used_heap_size: used, external_memory: outside } = getHeapStatistics();
      return used + outside;
    },
    collect() {
      // Not a flag of the executable, because flags decide whether the code cache is used. Set at run time,
      // it applies only to new contexts.
      if (collect === undefined) {
        setFlagsFromString("--expose-gc");
        collect = runInNewContext("gc") as Collect;
      }
      collect({ type: "major", execution: "sync" });
    },
  };
}
