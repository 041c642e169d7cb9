import { join } from "node:path";
import { msFromTicks, type Ticks } from "../../model/instant.ts";
import type { CustomerProgress } from "../../model/roster.ts";
import type { TenantId } from "../../model/tenant.ts";
import { decodeCheckpoint } from "./checkpoint-file.ts";
import { type DiskPorts, errnoOf, readIfThere } from "./disk.ts";
import { folderNameOf } from "./names.ts";

const CHECKPOINT = ".mark.json";

/**
 * How far a customer's streams have been read, by the checkpoints on disk. It takes no lock, so that it can
 * be asked while a collector runs; a damaged checkpoint counts as none.
 */
export function streamProgress(
  ports: DiskPorts,
  stateDir: string,
  stanza: string,
  tenantId: TenantId,
): CustomerProgress {
  const folder = join(stateDir, "tenants", tenantId, folderNameOf(stanza));
  let newest: Ticks | undefined;
  let lastPollMs: number | undefined;
  for (const file of filesIn(ports, folder)) {
    const bytes = file.endsWith(CHECKPOINT) ? readIfThere(ports.disk, join(folder, file)) : undefined;
    const reading = bytes && decodeCheckpoint(bytes.toString("utf8"));
    if (reading?.kind !== "checkpoint") continue;
    const { upTo, reachedUpTo, walkCompletedAtMs } = reading.checkpoint;
    for (const ticks of [upTo, reachedUpTo])
      if (ticks !== undefined && (newest === undefined || ticks > newest)) newest = ticks;
    if (walkCompletedAtMs !== undefined) lastPollMs = Math.max(lastPollMs ?? 0, walkCompletedAtMs);
  }
  const sinceMs = lastPollMs === undefined ? 0 : madeAtMs(ports, folder);
  return {
    ...(sinceMs > 0 ? { consentSinceMs: sinceMs } : {}),
    ...(newest === undefined ? {} : { lastEventMs: msFromTicks(newest) }),
    ...(lastPollMs === undefined ? {} : { lastPollMs }),
  };
}

/** The folder is made when a customer is read for the first time; 0 where the file system does not know. */
function madeAtMs(ports: DiskPorts, folder: string): number {
  try {
    return Math.round(ports.disk.statSync(folder).birthtimeMs);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return 0;
  }
}

function filesIn(ports: DiskPorts, folder: string): readonly string[] {
  try {
    return ports.disk.readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}
