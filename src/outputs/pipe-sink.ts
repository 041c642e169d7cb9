import {
  beginStreamedEvent,
  type EventStyle,
  endStreamedEvent,
  healthSourceOf,
  writeHealthLine,
  writeJsonLine,
  writeSplunkEvent,
  writeSplunkHealth,
  writeSplunkOwn,
  writeStreamedPiece,
} from "../format/splunk/splunk-event.ts";
import { ByteWriter } from "../json/byte-writer.ts";
import type { Sink } from "../model/ports.ts";
import { SerialQueue } from "../model/serial-queue.ts";
import type { Stanza } from "../model/stanza.ts";
import { type Notice, noticeEvent } from "./line-format.ts";
import type { StreamPipe } from "./stream-pipe.ts";

/** Size of one write to the pipe. Larger writes are not faster; smaller ones need more system calls. */
const WRITE_BYTES = 256 * 1024;

/** What is needed of a customer to write its events. */
export type PipeCustomer = EventStyle & Pick<Stanza, "name">;

/** Under which stanza splunkd files an event, and in which index if not the stanza's. */
export interface HealthPlace {
  readonly stanza: string;
  readonly index?: string;
}

export interface PipeSinkParts {
  readonly events: StreamPipe;
  /** The same pipe, or one of its own. */
  readonly health: StreamPipe;
  /** `splunk`: `<event>` elements; `lines`: JSON lines, each exactly what Splunk's `<data>` would hold. */
  readonly form: "splunk" | "lines";
  /** Every customer that can have an event of Microsoft's: their settings decide an event's style. */
  readonly customers: readonly PipeCustomer[];
  /** Where the health of an input goes; undefined: under its own stanza. */
  readonly placeOf?: (input: string) => HealthPlace | undefined;
}

/** It takes records of every size. */
export interface PipeSink extends Omit<Sink, "writeHuge">, Required<Pick<Sink, "writeHuge">> {
  /** What concerns no single customer; it goes beside their health. */
  notice(notice: Notice): Promise<void>;
}

/**
 * Writes events to the reader of standard output. `provisional`: the reader of a pipe acknowledges nothing,
 * so a written event may not be delivered. One batch at a time, because the buffer is shared and is reused
 * only after the pipe has taken it.
 */
export function pipeSink({ events, health, form, customers, placeOf }: PipeSinkParts): PipeSink {
  const styles = new Map<string, EventStyle>(customers.map((customer) => [customer.name, customer]));
  const isXml = form === "splunk";
  const writeEvent = isXml ? writeSplunkEvent : writeJsonLine;
  const buffer = new ByteWriter(WRITE_BYTES + WRITE_BYTES / 4);
  const queue = new SerialQueue();

  function inOrder<T>(work: () => Promise<T>): Promise<T> {
    return queue.run(() => {
      // Removes what a failed write left behind.
      buffer.reset();
      return work();
    });
  }

  async function flush(pipe: StreamPipe): Promise<number> {
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
          writeEvent(buffer, delivery, styleOf(delivery.stanza));
          if (buffer.length >= WRITE_BYTES) written += await flush(events);
        }
        return written + (await flush(events));
      }),
    writeHuge: (delivery, pieces) =>
      inOrder(async () => {
        let written = 0;
        let isFirst = true;
        beginStreamedEvent(buffer, delivery, styleOf(delivery.stanza), isXml);
        for await (const piece of pieces) {
          writeStreamedPiece(buffer, piece, isFirst, isXml);
          isFirst = false;
          if (buffer.length >= WRITE_BYTES) written += await flush(events);
        }
        endStreamedEvent(buffer, isXml);
        return written + (await flush(events));
      }),
    health: (event) =>
      inOrder(async () => {
        const place = placeOf?.(event.input);
        if (isXml) writeSplunkHealth(buffer, place?.stanza ?? event.input, event, place?.index);
        else writeHealthLine(buffer, event);
        await flush(health);
      }),
    notice: (notice) =>
      inOrder(async () => {
        const event = noticeEvent(notice);
        const place = placeOf?.("");
        if (isXml) writeSplunkOwn(buffer, place?.stanza ?? "", event, healthSourceOf(notice.tenant_id), place?.index);
        else buffer.text(`${JSON.stringify(event)}\n`);
        await flush(health);
      }),
    admit: (customer) => styles.set(customer.name, customer),
  };

  function styleOf(stanza: string): EventStyle {
    const style = styles.get(stanza);
    if (!style) throw new Error(`no stanza ${stanza} was given to the sink`);
    return style;
  }
}
