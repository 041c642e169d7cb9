import { Failure } from "../model/failure.ts";
import type { Output } from "./output.ts";

const MOST_BYTES = 16 << 20;

/**
 * Health events that wait in memory for a receiver, where there is no spool. Health is repeated each hour, so
 * nobody keeps it, and whoever sends it does not wait for a receiver.
 */
export class HealthBacklog {
  readonly #output: Pick<Output, "name" | "where">;
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;

  constructor(output: Pick<Output, "name" | "where">) {
    this.#output = output;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest, until it is removed. */
  get next(): Uint8Array | undefined {
    return this.#waiting[0];
  }

  /** Copies the lines. Throws Failure `output-full`. */
  add(lines: Uint8Array): void {
    const { name, where } = this.#output;
    if (this.#bytes + lines.length > MOST_BYTES)
      throw new Failure("output-full", {
        actor: "operator",
        retry: { when: "later" },
        say: `${name}: ${where} accepts nothing, so health events are no longer kept for it. No alert is lost.`,
        nextStep: "Start the receiver again, or check its address and the network. Delivery resumes by itself.",
      });
    this.#waiting.push(Uint8Array.from(lines));
    this.#bytes += lines.length;
  }

  removeNext(): void {
    this.#bytes -= this.#waiting.shift()?.length ?? 0;
  }
}
