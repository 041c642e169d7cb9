import type { Lease } from "../../model/fleet.ts";
import type { Clock } from "../../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../../model/provisional.ts";

/** The last packet of a stream that the receiver took, and the lease under which that was. */
export interface TakenTo {
  readonly lease: Lease;
  readonly seq: bigint;
}

interface Round {
  readonly streams: ReadonlyMap<number, TakenTo>;
  readonly bytes: number;
  readonly atMs: number;
}

/**
 * What a receiver took that acknowledges nothing. A round may be confirmed in the store when an hour has
 * passed, or so many bytes were taken after it: the limits of the single process for the same receiver. Until
 * then the store counts it as waiting, so whoever takes a stream over sends it again.
 */
export class UnconfirmedRounds {
  readonly #mostBytes: number;
  readonly #clock: Clock;
  /** The oldest first. */
  #rounds: Round[] = [];
  #bytes = 0;
  readonly #takenTo = new Map<number, bigint>();
  #breaks = 0;

  constructor(mostBytes: number, clock: Clock) {
    this.#mostBytes = mostBytes;
    this.#clock = clock;
  }

  /** Another one after each break: what was sent over a connection that broke does not count as taken. */
  get breaks(): number {
    return this.#breaks;
  }

  get isEmpty(): boolean {
    return this.#rounds.length === 0;
  }

  /** Up to where each stream needs not be sent again over the present connection. */
  get takenTo(): ReadonlyMap<number, bigint> {
    return this.#takenTo;
  }

  took(streams: ReadonlyMap<number, TakenTo>, bytes: number): void {
    for (const [stream, { seq }] of streams) this.#takenTo.set(stream, seq);
    this.#rounds.push({ streams, bytes, atMs: this.#clock.monotonicMs() });
    this.#bytes += bytes;
  }

  /** Takes out what may be confirmed now. */
  due(): ReadonlyMap<number, TakenTo> {
    const beforeMs = this.#clock.monotonicMs() - PROVISIONAL_FOR_MS;
    let count = 0;
    for (const { atMs, bytes } of this.#rounds) {
      if (atMs > beforeMs && this.#bytes - bytes < this.#mostBytes) break;
      this.#bytes -= bytes;
      count += 1;
    }
    return together(this.#rounds.splice(0, count));
  }

  /** Calls `settle`, and takes out what was taken before, when that says that the receiver has read it. */
  async settled(settle: () => Promise<boolean>): Promise<ReadonlyMap<number, TakenTo>> {
    const before = new Set(this.#rounds);
    if (!(await settle())) return new Map();
    // What is gone was confirmed meanwhile, or is sent again after a break.
    const read = this.#rounds.filter((round) => before.has(round));
    this.#rounds = this.#rounds.filter((round) => !before.has(round));
    this.#bytes = this.#rounds.reduce((sum, { bytes }) => sum + bytes, 0);
    return together(read);
  }

  /** The connection broke. Returns the streams of which something must be sent again. */
  broke(): readonly number[] {
    const streams = [...together(this.#rounds).keys()];
    this.#breaks += 1;
    this.#rounds = [];
    this.#bytes = 0;
    this.#takenTo.clear();
    return streams;
  }

  concerns(streams: readonly number[]): boolean {
    return this.#rounds.some((round) => streams.some((stream) => round.streams.has(stream)));
  }

  /** The stream is given up: when it comes back, only the store knows how far it is. */
  forget(stream: number): void {
    this.#takenTo.delete(stream);
  }
}

function together(rounds: readonly Round[]): ReadonlyMap<number, TakenTo> {
  return new Map(rounds.flatMap(({ streams }) => [...streams]));
}
