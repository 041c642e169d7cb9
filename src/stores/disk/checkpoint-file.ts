import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import type { Log } from "../../model/ports.ts";
import type { Mark } from "../../model/state.ts";
import { newerFormat } from "./damage.ts";
import { type DiskKit, makeFolder, readIfThere, renameOver, stateUnwritable, writeAside } from "./disk.ts";

const VERSION = 1;

/** Ticks as decimal text, in a fixed member order, so that the same mark is always the same bytes. */
interface MarkOnDisk {
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

/** One line of JSON: version, CRC-32 of the mark's own text, the mark. */
export function encodeMark(mark: Mark): string {
  const plain: MarkOnDisk = {
    ...(mark.upTo === undefined ? {} : { upTo: mark.upTo.toString() }),
    ...(mark.reachedUpTo === undefined ? {} : { reachedUpTo: mark.reachedUpTo.toString() }),
    ...(mark.sweptUpTo === undefined ? {} : { sweptUpTo: mark.sweptUpTo.toString() }),
    start: mark.start.toString(),
    ...(mark.walk === undefined
      ? {}
      : {
          walk: {
            from: mark.walk.from.toString(),
            cursor: mark.walk.cursor.toString(),
            startedAtMs: mark.walk.startedAtMs,
          },
        }),
    nextPollAtMs: mark.nextPollAtMs,
    nextSweepAtMs: mark.nextSweepAtMs,
    pollsSinceFullReach: mark.pollsSinceFullReach,
    ...(mark.walkCompletedAtMs === undefined ? {} : { walkCompletedAtMs: mark.walkCompletedAtMs }),
    ...(mark.queries === undefined ? {} : { queries: mapped(mark.queries, String) }),
  };
  const text = JSON.stringify(plain);
  return `{"version":${VERSION},"crc32":${crc32(text)},"mark":${text}}\n`;
}

export type MarkReading =
  | { readonly kind: "mark"; readonly mark: Mark }
  | { readonly kind: "damaged" }
  | { readonly kind: "newer"; readonly version: unknown };

export function decodeMark(text: string): MarkReading {
  let outer: { version?: unknown; crc32?: unknown; mark?: MarkOnDisk };
  try {
    outer = JSON.parse(text) as typeof outer;
  } catch {
    return { kind: "damaged" };
  }
  if (typeof outer !== "object" || outer === null) return { kind: "damaged" };
  if (typeof outer.version === "number" && outer.version > VERSION) return { kind: "newer", version: outer.version };
  if (outer.version !== VERSION || typeof outer.mark !== "object" || outer.mark === null) return { kind: "damaged" };
  if (crc32(JSON.stringify(outer.mark)) !== outer.crc32) return { kind: "damaged" };
  return { kind: "mark", mark: markFrom(outer.mark) };
}

function markFrom(plain: MarkOnDisk): Mark {
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
 * The mark at `path`, else the previous one beside it (`.prev`): an older mark only means that a little is
 * asked again. Damage is reported once to the log. Throws Failure `state-damaged` for a file of a newer
 * release.
 */
export function loadMark(kit: DiskKit, log: Log, path: string): Mark | undefined {
  const current = readMark(kit, path);
  if (current.kind === "mark") return current.mark;
  const previous = readMark(kit, `${path}.prev`);
  if (previous.kind === "mark") {
    if (current.kind === "damaged")
      log.warn("a saved mark is damaged; going on from the previous one, a little is asked again", { path });
    return previous.mark;
  }
  if (current.kind === "damaged" || previous.kind === "damaged") {
    log.error(
      "a saved mark and its previous one are damaged; this stream begins again at its start, what the ledger knows is not sent again",
      { path },
    );
  }
  return undefined;
}

function readMark(
  kit: DiskKit,
  path: string,
): { readonly kind: "none" | "damaged" } | { readonly kind: "mark"; readonly mark: Mark } {
  const bytes = readIfThere(kit.disk, path);
  if (bytes === undefined) return { kind: "none" };
  const reading = decodeMark(bytes.toString("utf8"));
  if (reading.kind === "newer") throw newerFormat(path, reading.version, VERSION);
  return reading;
}

/**
 * Written aside, flushed, renamed; the previous one is kept. A death between the two renames leaves only
 * `.prev`, which `loadMark` takes. The folder itself is not flushed: should the host die, an older mark comes
 * back, which costs some repeated questions and nothing else.
 */
export async function saveMark(kit: DiskKit, path: string, mark: Mark): Promise<void> {
  try {
    makeFolder(kit.disk, dirname(path));
    const aside = await writeAside(kit, path, Buffer.from(encodeMark(mark), "utf8"));
    if (kit.disk.existsSync(path)) await renameOver(kit, path, `${path}.prev`);
    await renameOver(kit, aside, path);
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}
