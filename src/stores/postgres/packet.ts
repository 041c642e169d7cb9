import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import type { Delivery } from "../../model/event.ts";
import type { Reduction, SourceRecord } from "../../model/record.ts";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** With a checksum, so that damage is noticed and never delivered. */
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 } };
const NEWLINE = 0x0a;
/** Alerts shrink to an eighth or less. A piece is memory of its own, and a change of threads. */
const EXPANDS_TIMES = 8;
const SMALLEST_PIECE = 1 << 14;
const LARGEST_PIECE = 1 << 20;

/** Makes the member tables of records again, given as one JSON list. */
export type ReadBodies = (list: Uint8Array) => readonly SourceRecord["body"][];

/** What a packet says of a record beside its bytes; instants as decimal text. */
type Head = Omit<Delivery, "record"> &
  Omit<SourceRecord, "readable" | "body" | "updated" | "created"> & {
    readonly updated: string;
    readonly created?: string;
    readonly reduced?: Reduction;
  };

/** The versions of one commit before they are compressed. */
export interface Packed {
  /** As it was lent. */
  readonly memory: Buffer;
  /** What of it is the packet. */
  readonly bytes: Uint8Array;
  /** Where the first version's bytes begin; the others follow, each after a comma. */
  readonly start: number;
}

/**
 * The versions of one commit as one row keeps them: a line of JSON with what is known of each, then their
 * bytes as one JSON list. The records' memory may be used again when this returns.
 *
 * @param lend gives memory of at least so many bytes.
 */
export function packed(
  deliveries: readonly Delivery[],
  lend: (byteLength: number) => Buffer = (byteLength) => Buffer.allocUnsafeSlow(byteLength),
): Packed {
  const heads = deliveries.map(({ record, ...delivery }): Head => {
    const { readable: _, body: _bytes, updated, created, ...head } = record;
    return {
      ...delivery,
      ...head,
      updated: String(updated),
      ...(created === undefined ? {} : { created: String(created) }),
    };
  });
  const text = `${JSON.stringify(heads)}\n[`;
  const start = Buffer.byteLength(text, "utf8");
  const byteLength = deliveries.reduce((sum, { record: { body } }) => sum + body.end - body.start + 1, start);
  const memory = lend(byteLength);
  memory.write(text, 0, "utf8");
  let at = start;
  for (const { record } of deliveries) {
    const { bytes, start: from, end: to } = record.body;
    memory.set(bytes.subarray(from, to), at);
    at += to - from;
    memory[at] = COMMA;
    at += 1;
  }
  memory[at - 1] = END;
  return { memory, bytes: memory.subarray(0, at), start };
}

const COMMA = 0x2c;
const END = 0x5d;

export function compressed(packet: Uint8Array): Promise<Buffer> {
  return compress(packet, LEVEL);
}

/** The versions of a packet as `compressed` left it. Throws when it is not one. */
export async function unpacked(body: Uint8Array, bodiesOf: ReadBodies): Promise<readonly Delivery[]> {
  const chunkSize = Math.min(LARGEST_PIECE, Math.max(SMALLEST_PIECE, body.length * EXPANDS_TIMES));
  const packet = await decompress(body, { chunkSize });
  const end = packet.indexOf(NEWLINE);
  const heads = JSON.parse(packet.toString("utf8", 0, end)) as readonly Head[];
  const bodies = bodiesOf(packet.subarray(end + 1));
  if (bodies.length !== heads.length) throw new Error(`a packet of ${heads.length} records holds ${bodies.length}`);
  return heads.map(({ stanza, tenant, stream, change, found, key, updated, created, ...head }, i) => ({
    stanza,
    tenant,
    stream,
    change,
    found,
    key,
    record: {
      readable: true,
      ...head,
      updated: BigInt(updated),
      ...(created === undefined ? {} : { created: BigInt(created) }),
      body: bodies[i] as SourceRecord["body"],
    },
  }));
}
