import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import type { Log } from "../../model/ports.ts";
import type { Checkpoint } from "../../model/state.ts";
import { newerFormat } from "./damage.ts";
import { type DiskPorts, makeFolder, readIfThere, renameOver, stateUnwritable, writeAside } from "./disk.ts";

const VERSION = 1;

/** Ticks as decimal text, in a fixed member order, so that the same checkpoint is always the same bytes. */
interface CheckpointOnDisk {
  readonly upTo?: string;
  readonly reachedUpTo?: string;
  readonly sweptUpTo?: string;
  readonly start: string;
  readonly walk?: { readonly from: string; readonly cursor: string; readonly startedAtMs: number };
  readonly nextPollAtMs: number;
  readonly nextSweepAtMs: number;
  readonly pollsSinceFullReach: number;
  readonly walkCompletedAtMs?: number;
  readonly queries?: Readonly<Record<string, string>>;
}

/** One line of JSON: version, CRC-32 of the checkpoint's own text, the checkpoint. */
export function encodeCheckpoint(checkpoint: Checkpoint): string {
  const plain: CheckpointOnDisk = {
    ...(checkpoint.upTo === undefined ? {} : { upTo: checkpoint.upTo.toString() }),
    ...(checkpoint.reachedUpTo === undefined ? {} : { reachedUpTo: checkpoint.reachedUpTo.toString() }),
    ...(checkpoint.sweptUpTo === undefined ? {} : { sweptUpTo: checkpoint.sweptUpTo.toString() }),
    start: checkpoint.start.toString(),
    ...(checkpoint.walk === undefined
      ? {}
      : {
          walk: {
            from: checkpoint.walk.from.toString(),
            cursor: checkpoint.walk.cursor.toString(),
            startedAtMs: checkpoint.walk.startedAtMs,
          },
        }),
    nextPollAtMs: checkpoint.nextPollAtMs,
    nextSweepAtMs: checkpoint.nextSweepAtMs,
    pollsSinceFullReach: checkpoint.pollsSinceFullReach,
    ...(checkpoint.walkCompletedAtMs === undefined ? {} : { walkCompletedAtMs: checkpoint.walkCompletedAtMs }),
    ...(checkpoint.queries === undefined ? {} : { queries: mapped(checkpoint.queries, String) }),
  };
  const text = JSON.stringify(plain);
  return `{"version":${VERSION},"crc32":${crc32(text)},"mark":${text}}\n`;
}

export type CheckpointReading =
  | { readonly kind: "checkpoint"; readonly checkpoint: Checkpoint }
  | { readonly kind: "damaged" }
  | { readonly kind: "newer"; readonly version: unknown };

export function decodeCheckpoint(text: string): CheckpointReading {
  let outer: { version?: unknown; crc32?: unknown; mark?: CheckpointOnDisk };
  try {
    outer = JSON.parse(text) as typeof outer;
  } catch {
    return { kind: "damaged" };
  }
  if (typeof outer !== "object" || outer === null) return { kind: "damaged" };
  if (typeof outer.version === "number" && outer.version > VERSION) return { kind: "newer", version: outer.version };
  if (outer.version !== VERSION || typeof outer.mark !== "object" || outer.mark === null) return { kind: "damaged" };
  if (crc32(JSON.stringify(outer.mark)) !== outer.crc32) return { kind: "damaged" };
  return { kind: "checkpoint", checkpoint: checkpointFrom(outer.mark) };
}

function checkpointFrom(plain: CheckpointOnDisk): Checkpoint {
  return {
    version: 1,
    ...(plain.upTo === undefined ? {} : { upTo: BigInt(plain.upTo) }),
    ...(plain.reachedUpTo === undefined ? {} : { reachedUpTo: BigInt(plain.reachedUpTo) }),
    ...(plain.sweptUpTo === undefined ? {} : { sweptUpTo: BigInt(plain.sweptUpTo) }),
    start: BigInt(plain.start),
    ...(plain.walk === undefined
      ? {}
      : {
          walk: {
            from: BigInt(plain.walk.from),
            cursor: BigInt(plain.walk.cursor),
            startedAtMs: plain.walk.startedAtMs,
          },
        }),
    nextPollAtMs: plain.nextPollAtMs,
    nextSweepAtMs: plain.nextSweepAtMs,
    pollsSinceFullReach: plain.pollsSinceFullReach,
    ...(plain.walkCompletedAtMs === undefined ? {} : { walkCompletedAtMs: plain.walkCompletedAtMs }),
    ...(plain.queries === undefined ? {} : { queries: mapped(plain.queries, BigInt) }),
  };
}

function mapped<A, B>(byName: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(byName).map(([name, value]) => [name, change(value)]));
}

/**
 * The checkpoint at `path`, else the previous one beside it (`.prev`). With an older checkpoint some records
 * are only requested again. Damage is logged once. Throws Failure `state-damaged` for a file of a newer
 * release.
 */
export function loadCheckpoint(ports: DiskPorts, log: Log, path: string): Checkpoint | undefined {
  const current = readCheckpoint(ports, path);
  if (current.kind === "checkpoint") return current.checkpoint;
  const previous = readCheckpoint(ports, `${path}.prev`);
  if (previous.kind === "checkpoint") {
    if (current.kind === "damaged")
      log.warn(
        "a saved checkpoint is damaged; the stream continues from the previous one and requests some records again",
        { path },
      );
    return previous.checkpoint;
  }
  if (current.kind === "damaged" || previous.kind === "damaged") {
    log.error(
      "a saved checkpoint and its previous one are damaged; this stream begins again at its start, and what the ledger holds is not sent again",
      { path },
    );
  }
  return undefined;
}

function readCheckpoint(
  ports: DiskPorts,
  path: string,
): { readonly kind: "none" | "damaged" } | { readonly kind: "checkpoint"; readonly checkpoint: Checkpoint } {
  const bytes = readIfThere(ports.disk, path);
  if (bytes === undefined) return { kind: "none" };
  const reading = decodeCheckpoint(bytes.toString("utf8"));
  if (reading.kind === "newer") throw newerFormat(path, reading.version, VERSION);
  return reading;
}

/**
 * Written aside, flushed, renamed; the previous one is kept. A crash between the two renames leaves only
 * `.prev`, which `loadCheckpoint` reads. The folder itself is not flushed: after a crash of the host an older
 * checkpoint may come back, which only repeats some requests.
 */
export async function saveCheckpoint(ports: DiskPorts, path: string, checkpoint: Checkpoint): Promise<void> {
  try {
    makeFolder(ports.disk, dirname(path));
    const aside = await writeAside(ports, path, Buffer.from(encodeCheckpoint(checkpoint), "utf8"));
    if (ports.disk.existsSync(path)) await renameOver(ports, path, `${path}.prev`);
    await renameOver(ports, aside, path);
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}
