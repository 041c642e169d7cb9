import { STREAM_CLOSE, STREAM_OPEN } from "../../format/splunk/splunk-event.ts";
import { Failure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";

/** The used part of `process.stdout`; tests inject their own. */
export interface ByteSink {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** How long the end of the stream may take, because splunkd kills a process that does not stop. */
const CLOSE_LIMIT_MS = 2000;

const OPEN = Buffer.from(STREAM_OPEN);
const CLOSE = Buffer.from(STREAM_CLOSE);

/**
 * The only writer to stdout. Pieces are written in the order of the `write` calls, one at a time, each
 * awaited: this is the back-pressure, because splunkd stops reading when its queue is full. `<stream>` is
 * written before the first piece, so an empty stream is never sent.
 */
export class StreamPipe {
  readonly #sink: ByteSink;
  readonly #clock: Clock;
  readonly #gone = new AbortController();
  #last: Promise<void> = Promise.resolve();
  #opened = false;
  #closing = false;
  #failure: Failure | undefined;
  #giveUp: (failure: Failure) => void = () => {};

  constructor(sink: ByteSink, clock: Clock) {
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
   * Writes `</stream>` after all waiting pieces and resolves after its callback: `closed`, or `cut` if 2 s
   * were not enough or the reader closed the pipe.
   */
  async close(): Promise<"closed" | "cut"> {
    if (this.#closing) return "cut";
    this.#closing = true;
    const answered = new AbortController();
    const end = this.#last
      .catch(() => {})
      .then(() => (this.#opened ? this.#enqueue(CLOSE, false) : undefined))
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
    const written = this.#last
      .catch(() => {})
      .then(async () => {
        if (opens && !this.#opened) {
          this.#opened = true;
          await this.#send(OPEN);
        }
        return this.#send(bytes);
      });
    this.#last = written;
    return written;
  }

  #send(bytes: Uint8Array): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
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
      say: "splunkd closed this program's output. This program stops, and sends events that may be lost again after the next start.",
      cause: error,
    });
  }
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `Writing events to splunkd failed (${code ?? "unknown error"}).`,
    nextStep: "Look for the cause in splunkd.log.",
    cause: error,
  });
}

function closed(): Failure {
  return new Failure("host-gone", {
    actor: "operator",
    retry: { when: "never" },
    say: "The output to splunkd is closed, because this program is stopping.",
  });
}
