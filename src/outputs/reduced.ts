import { setImmediate as letOthers } from "node:timers/promises";
import { reduceRecord } from "../format/reduced-record.ts";
import type { HugeDelivery } from "../model/event.ts";
import type { Log, Sink } from "../model/ports.ts";

const NAMES_SHOWN = 10;

/**
 * A file's pieces are available at once. Without a pause a record of 256 MiB would block every other customer
 * for a second.
 */
async function* unhurried(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    yield piece;
    await letOthers();
  }
}

/**
 * A record too large to be held goes out like any other, with its small members. It is logged only when it
 * was accepted, so an output that refuses for hours does not fill the log. Rejects as the sink's `write`.
 */
export async function writeReduced(
  sink: Pick<Sink, "write">,
  delivery: HugeDelivery,
  pieces: AsyncIterable<Uint8Array>,
  log: Log,
): Promise<number> {
  const record = await reduceRecord(delivery.record, unhurried(pieces));
  const written = await sink.write([{ ...delivery, record }]);
  // After a broken connection everything is offered again, and most outputs have it.
  if (written === 0) return written;
  const { byteLength = 0, leftOut = [] } = record.reduced ?? {};
  log.warn("a record above record_max_mib was sent without its large members", {
    tenant: delivery.tenant.name,
    stream: delivery.stream,
    id: record.id,
    bytes: byteLength,
    left_out: leftOut.slice(0, NAMES_SHOWN).map(shown).join(", "),
  });
  return written;

  function shown({ name, byteLength: bytes, elementCount }: (typeof leftOut)[number]): string {
    return elementCount === undefined ? `${name} (${bytes} bytes)` : `${name} (${elementCount} items, ${bytes} bytes)`;
  }
}
