import type { EventStyle } from "../../format/splunk/splunk-event.ts";
import {
  beginStreamedEvent,
  endStreamedEvent,
  writeHealthLine,
  writeJsonLine,
  writeStreamedPiece,
} from "../../format/splunk/splunk-event.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { HealthEvent } from "../../model/event.ts";
import { Failure } from "../../model/failure.ts";
import type { Sink } from "../../model/ports.ts";

/** The part of a writable that is used. */
export interface LineSink {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

const WRITE_BYTES = 256 * 1024;

/**
 * Events as JSON lines, each exactly the content of Splunk's `<data>`; health goes to its own sink.
 * Provisional, because the reader of a pipe acknowledges nothing.
 *
 * @param styles by stanza name.
 */
export function linesSink(events: LineSink, health: LineSink, styles: ReadonlyMap<string, EventStyle>): Sink {
  const buffer = new ByteWriter(WRITE_BYTES + WRITE_BYTES / 4);
  let last: Promise<unknown> = Promise.resolve();
  // The callbacks get the error. Without a listener the error would end the process first.
  events.on("error", () => undefined);

  function inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = last
      .catch(() => undefined)
      .then(() => {
        buffer.reset();
        return work();
      });
    last = mine;
    return mine;
  }

  async function flush(): Promise<number> {
    const { length } = buffer;
    if (length > 0) await send(events, buffer.view());
    buffer.reset();
    return length;
  }

  return {
    kind: "provisional",
    write: (batch) =>
      inOrder(async () => {
        let written = 0;
        for (const delivery of batch) {
          const style = styles.get(delivery.stanza);
          if (!style) throw new Error(`no style for stanza ${delivery.stanza}`);
          writeJsonLine(buffer, delivery, style);
          if (buffer.length >= WRITE_BYTES) written += await flush();
        }
        return written + (await flush());
      }),
    writeHuge: (delivery, pieces) =>
      inOrder(async () => {
        const style = styles.get(delivery.stanza);
        if (!style) throw new Error(`no style for stanza ${delivery.stanza}`);
        let written = 0;
        let isFirst = true;
        beginStreamedEvent(buffer, delivery, style, false);
        for await (const piece of pieces) {
          writeStreamedPiece(buffer, piece, isFirst, false);
          isFirst = false;
          if (buffer.length >= WRITE_BYTES) written += await flush();
        }
        endStreamedEvent(buffer, false);
        return written + (await flush());
      }),
    health: (event: HealthEvent) =>
      inOrder(async () => {
        writeHealthLine(buffer, event);
        await send(health, buffer.view());
        buffer.reset();
      }),
  };
}

function send(sink: LineSink, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(bytes, (error) => {
      if (!error) resolve();
      else if ((error as NodeJS.ErrnoException).code === "EPIPE")
        reject(
          new Failure("host-gone", {
            actor: "operator",
            retry: { when: "never" },
            say: "The reader closed standard output, so no more events can be written.",
            cause: error,
          }),
        );
      else
        reject(
          new Failure("output-broken", {
            actor: "operator",
            retry: { when: "never" },
            say: `Events could not be written to standard output (${(error as NodeJS.ErrnoException).code ?? error.message}).`,
            cause: error,
          }),
        );
    });
  });
}
