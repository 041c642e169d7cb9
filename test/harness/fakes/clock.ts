import type { Clock } from "../../../src/model/ports.ts";

export const T0 = Date.UTC(2026, 10, 24, 12, 0, 0);
/** The evening of the same day. */
export const EVENING_MS = Date.UTC(2026, 10, 24, 19, 0, 0);

interface Timer {
  readonly at: number;
  readonly fire: () => void;
}

/**
 * The fake for `Clock`. Time moves only when a test moves it, and a pause ends when time has passed it or
 * when it is stopped. With `pauses: "pass"` each pause moves time itself and ends in the next turn of the
 * event loop.
 */
export class FakeClock implements Clock {
  now: number;
  /** What the wall clock shows beside true time, so that it can step. */
  wallOffsetMs = 0;
  /** Every pause that was asked for, ms. */
  readonly pauses: number[] = [];
  /** How many pauses ended because time has passed them. */
  endedPauses = 0;
  readonly #startMs: number;
  readonly #pass: boolean;
  /** In the order in which they end, those of one instant as they were asked for. */
  readonly #timers: Timer[] = [];

  constructor(startMs = T0, { pauses = "wait" }: { readonly pauses?: "wait" | "pass" } = {}) {
    this.now = startMs;
    this.#startMs = startMs;
    this.#pass = pauses === "pass";
  }

  nowMs(): number {
    return this.now + this.wallOffsetMs;
  }

  monotonicMs(): number {
    return this.now - this.#startMs;
  }

  async pause(forMs: number, stop?: AbortSignal): Promise<void> {
    this.pauses.push(forMs);
    if (this.#pass) {
      this.now += forMs;
      await yieldToEventLoop();
    } else if (!stop?.aborted) await new Promise<void>((resolve) => this.#wait(forMs, resolve, stop));
  }

  #wait(forMs: number, fire: () => void, stop: AbortSignal | undefined): void {
    const stopped = (): void => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
      fire();
    };
    const timer = {
      at: this.now + Math.max(0, forMs),
      fire: () => {
        // A signal compares each new listener with all others, so the listeners of ended pauses are removed.
        stop?.removeEventListener("abort", stopped);
        fire();
      },
    };
    // The newest timer usually ends among the last, so its place is found from the end in a few steps.
    let place = this.#timers.length;
    while (place > 0 && (this.#timers[place - 1]?.at ?? 0) > timer.at) place -= 1;
    this.#timers.splice(place, 0, timer);
    stop?.addEventListener("abort", stopped, { once: true });
  }

  /** How long until the next pause ends; undefined when nothing waits. */
  nextPauseEndsInMs(): number | undefined {
    const next = this.#timers[0];
    return next && Math.max(0, next.at - this.now);
  }

  /** Moves time on by `ms`, from pause to pause, letting everything that is due happen in order. */
  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    await settle();
    for (let next = this.#timers[0]; next !== undefined && next.at <= until; next = this.#timers[0]) {
      this.#timers.shift();
      this.endedPauses += 1;
      this.now = Math.max(this.now, next.at);
      next.fire();
      await settle();
    }
    this.now = until;
  }

  /** Moves time in steps and lets the real disk finish after each, for code that writes files in between. */
  async pass(ms: number, stepMs = 1_000): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.advance(Math.min(left, stepMs));
      await settled();
    }
  }

  /** Ends every pause at once; time stands. */
  endPauses(): void {
    for (const { fire } of this.#timers.splice(0)) fire();
  }
}

const yieldToEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets every promise continue that can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await yieldToEventLoop();
}

/** Everything that is ready has run, and no file is read, written or closed any more: a disk may be slow. */
export async function settled(): Promise<void> {
  for (let idle = 0; idle < 6; idle += 1) {
    await yieldToEventLoop();
    if (isDiskBusy()) idle = -1;
  }
}

/**
 * As `settled`, also where work goes on between two files or requests: until `isBusy` is false. How long that
 * takes is the machine's affair; what has happened by then is not.
 */
export async function quiet(isBusy: () => boolean): Promise<void> {
  for (let idle = 0; idle < QUIET_LOOKS; idle += 1) {
    await settled();
    if (isBusy()) idle = -1;
  }
}

const QUIET_LOOKS = 3;

/** A call of the operating system for a file has not been answered yet. */
function isDiskBusy(): boolean {
  return process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq") || name === "CloseReq");
}
