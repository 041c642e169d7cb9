import type { EventStyle } from "../../format/splunk/splunk-event.ts";
import {
  beginStreamedEvent,
  endStreamedEvent,
  writeSplunkEvent,
  writeSplunkHealth,
  writeStreamedPiece,
} from "../../format/splunk/splunk-event.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import type { Sink } from "../../model/ports.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { StreamPipe } from "./stream-pipe.ts";

/** Size of one write to the pipe. Larger writes are not faster; smaller ones need more system calls. */
const WRITE_BYTES = 256 * 1024;

/**
 * Writes events to splunkd. `provisional`: splunkd acknowledges nothing, so a written event may not be
 * indexed. One batch at a time, because the buffer is shared and is reused only after the pipe has taken it.
 *
 * @param stanzas every customer that can have an event, including those with failures: their settings decide
 *   an event's style and index.
 */
export function splunkSink(pipe: StreamPipe, stanzas: readonly Stanza[]): Sink {
  const styles = new Map<string, EventStyle>(stanzas.map((stanza) => [stanza.name, stanza]));
  const buffer = new ByteWriter(WRITE_BYTES + WRITE_BYTES / 4);
  let last: Promise<unknown> = Promise.resolve();

  function inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = last
      .catch(() => {})
      .then(() => {
        // Removes what a failed write left behind.
        buffer.reset();
        return work();
      });
    last = mine;
    return mine;
  }

  async function flush(): Promise<number> {
    const { length } = buffer;
    if (length === 0) return 0;
    await pipe.write(buffer.view());
    buffer.reset();
    return length;
  }

  return {
    kind: "provisional",
    write: (batch) =>
      inOrder(async () => {
        let written = 0;
        for (const delivery of batch) {
          writeSplunkEvent(buffer, delivery, styleOf(delivery));
          if (buffer.length >= WRITE_BYTES) written += await flush();
        }
        return written + (await flush());
      }),
    writeHuge: (delivery, pieces) =>
      inOrder(async () => {
        let written = 0;
        let isFirst = true;
        beginStreamedEvent(buffer, delivery, styleOf(delivery), true);
        for await (const piece of pieces) {
          writeStreamedPiece(buffer, piece, isFirst, true);
          isFirst = false;
          if (buffer.length >= WRITE_BYTES) written += await flush();
        }
        endStreamedEvent(buffer, true);
        return written + (await flush());
      }),
    health: (event) =>
      inOrder(async () => {
        writeSplunkHealth(buffer, stanzaOf(event), event);
        await flush();
      }),
  };

  function styleOf(delivery: Pick<Delivery, "stanza">): EventStyle {
    const style = styles.get(delivery.stanza);
    if (!style) throw new Error(`no stanza ${delivery.stanza} was given to the sink`);
    return style;
  }

  /**
   * The stanza whose index gets the customer's health. A stanza may name its tenant by domain, so the
   * customer's name is compared first.
   */
  function stanzaOf(event: HealthEvent): string {
    const named = stanzas.filter((stanza) => stanza.tenantName === event.tenant);
    const found =
      named.find((stanza) => stanza.tenantId === event.tenant_id) ??
      named[0] ??
      stanzas.find((stanza) => stanza.tenantId === event.tenant_id);
    return found?.name ?? event.tenant;
  }
}
