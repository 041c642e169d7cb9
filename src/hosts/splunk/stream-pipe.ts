import { STREAM_CLOSE, STREAM_OPEN } from "../../format/splunk/splunk-event.ts";
import { Failure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";

/** The part of `process.stdout` that is used; a test hands in its own. */
export interface ByteSink {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** How long the end of the stream may take: splunkd kills what does not go. */
const CLOSE_LIMIT_MS = 2000;

const OPEN = Buffer.from(STREAM_OPEN);
const CLOSE = Buffer.from(STREAM_CLOSE);

/**
 * The one way to stdout. Pieces leave in the order in which `write` was called, one at a time, each awaited:
 * waiting is the back-pressure, because splunkd stops reading when its queue is full. `<stream>` goes out
 * before the first piece only: an empty stream is not sent.
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

  /** Fires when the reader is gone (EPIPE): stop now. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Whole events only. Resolves when the operating system has taken every byte; `bytes` may be reused then.
   * Rejects with Failure `host-gone` (reader gone) or `output-broken`.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#closing) return Promise.reject(closed());
    return this.#enqueue(bytes, true);
  }

  /**
   * Writes `</stream>` after everything that waits and resolves after its callback: `closed`; `cut` when 2 s
   * were not enough or the reader is gone.
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
    const turn = this.#last
      .catch(() => {})
      .then(async () => {
        if (opens && !this.#opened) {
          this.#opened = true;
          await this.#send(OPEN);
        }
        return this.#send(bytes);
      });
    this.#last = turn;
    return turn;
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
  // ERR_STREAM_DESTROYED: what every write after the first EPIPE gets.
  if (code === "EPIPE" || code === "ECONNRESET" || code === "EOF" || code === "ERR_STREAM_DESTROYED") {
    return new Failure("host-gone", {
      actor: "operator",
      retry: { when: "never" },
      say: "splunkd has closed our output: we stop, and send again after the next start what may be lost",
      cause: error,
    });
  }
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `our output to splunkd failed (${code ?? "unknown error"})`,
    nextStep: "Look for the cause in splunkd.log.",
    cause: error,
  });
}

function closed(): Failure {
  return new Failure("host-gone", {
    actor: "operator",
    retry: { when: "never" },
    say: "the output to splunkd is closed: we are stopping",
  });
}
