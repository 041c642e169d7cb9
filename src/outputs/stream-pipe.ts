import { STREAM_CLOSE, STREAM_OPEN } from "../format/splunk/splunk-event.ts";
import { Failure } from "../model/failure.ts";
import type { Clock } from "../model/ports.ts";
import { SerialQueue } from "../model/serial-queue.ts";

/** The used part of `process.stdout`; tests inject their own. */
export interface ByteSink {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** How long the end of the stream may take, because splunkd kills a process that does not stop. */
export const CLOSE_LIMIT_MS = 1_750;

/** What stands before the first and after the last event. */
export interface StreamFrame {
  readonly open: string;
  readonly close: string;
}

/** What splunkd expects of a modular input. */
export const SPLUNK_STREAM: StreamFrame = { open: STREAM_OPEN, close: STREAM_CLOSE };
/** Lines stand by themselves. */
export const PLAIN_LINES: StreamFrame = { open: "", close: "" };

/**
 * The only writer to stdout. Pieces are written in the order of the `write` calls, one at a time, each
 * awaited: this is the back-pressure, because splunkd stops reading when its queue is full. The frame's
 * opening is written before the first piece, so an empty stream is never sent.
 */
export class StreamPipe {
  readonly #sink: ByteSink;
  readonly #clock: Clock;
  readonly #frame: StreamFrame;
  readonly #gone = new AbortController();
  readonly #queue = new SerialQueue();
  #opened = false;
  #closing = false;
  #failure: Failure | undefined;
  #giveUp: (failure: Failure) => void = () => {};

  constructor(sink: ByteSink, clock: Clock, frame: StreamFrame) {
    this.#frame = frame;
    this.#sink = sink;
    this.#clock = clock;
    sink.on("error", (error) => this.#fail(error));
  }

  /** Fires when the reader has closed the pipe (EPIPE): stop now. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Only whole events. Resolves when the operating system has taken every byte; `bytes` can be reused then.
   * Rejects with Failure `host-gone` (the reader closed the pipe) or `output-broken`.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#closing) return Promise.reject(closed());
    return this.#enqueue(bytes, true);
  }

  /**
   * Writes the end of the frame after all waiting pieces and resolves after its callback: `closed`, or `cut`
   * if 2 s were not enough or the reader closed the pipe.
   */
  async close(): Promise<"closed" | "cut"> {
    if (this.#closing) return "cut";
    this.#closing = true;
    const answered = new AbortController();
    const end = this.#queue
      .idle()
      .then(() => (this.#opened ? this.#enqueue(Buffer.from(this.#frame.close), false) : undefined))
      .then(
        () => "closed" as const,
        () => "cut" as const,
      );
    const result = await Promise.race([
      end,
      this.#clock.pause(CLOSE_LIMIT_MS, answered.signal).then(() => "cut" as const),
    ]);
    answered.abort();
    if (result === "cut") this.#giveUp(closed());
    return result;
  }

  #enqueue(bytes: Uint8Array, opens: boolean): Promise<void> {
    return this.#queue.run(async () => {
      if (opens && !this.#opened) {
        this.#opened = true;
        await this.#send(Buffer.from(this.#frame.open));
      }
      return this.#send(bytes);
    });
  }

  #send(bytes: Uint8Array): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (bytes.length === 0) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      this.#giveUp = reject;
      this.#sink.write(bytes, (error) => {
        if (error) reject(this.#fail(error));
        else resolve();
      });
    });
  }

  #fail(error: Error): Failure {
    this.#failure ??= outputFailure(error);
    this.#giveUp(this.#failure);
    if (this.#failure.code === "host-gone" && !this.#gone.signal.aborted) this.#gone.abort(this.#failure);
    return this.#failure;
  }
}

function outputFailure(error: Error): Failure {
  const code = (error as NodeJS.ErrnoException).code;
  // ERR_STREAM_DESTROYED: the error of every write after the first EPIPE.
  if (code === "EPIPE" || code === "ECONNRESET" || code === "EOF" || code === "ERR_STREAM_DESTROYED") {
    return new Failure("host-gone", {
      actor: "operator",
      retry: { when: "never" },
      say: "The reader closed standard output. This program stops, and sends events that may be lost again after the next start.",
      cause: error,
    });
  }
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `Writing events to standard output failed (${code ?? error.message}).`,
    nextStep: "Look for the cause in the log of the program that reads it (in Splunk: splunkd.log).",
    cause: error,
  });
}

function closed(): Failure {
  return new Failure("host-gone", {
    actor: "operator",
    retry: { when: "never" },
    say: "Standard output is closed, because this program is stopping.",
  });
}
