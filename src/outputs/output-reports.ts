import type { Failure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import type { Output, OutputListener, OutputNotice } from "./output.ts";

/** What an output tells its listeners, and what its log says of the receiver. */
export class OutputReports {
  readonly #output: Pick<Output, "name" | "condition">;
  readonly #log: Log;
  readonly #listeners: OutputListener[] = [];
  #isRefusing = false;

  /** @param output its condition is asked for when listeners hear of a change, and not before. */
  constructor(output: Pick<Output, "name" | "condition">, log: Log) {
    this.#output = output;
    this.#log = log;
  }

  /** The output accepts no event. */
  get isRefusing(): boolean {
    return this.#isRefusing;
  }

  listen(listener: OutputListener): void {
    this.#listeners.push(listener);
  }

  /** The output accepts events, or does not: listeners hear of it when that changes. */
  refuse(isRefusing: boolean): void {
    if (this.#isRefusing === isRefusing) return;
    this.#isRefusing = isRefusing;
    this.changed();
  }

  changed(): void {
    for (const listener of this.#listeners) listener.changed?.(this.#output.condition());
  }

  broken(): void {
    for (const listener of this.#listeners) listener.broken?.();
  }

  notice(about: OutputNotice["about"], say: string): void {
    for (const listener of this.#listeners) listener.noticed?.({ about, say });
  }

  /** Logged once, until there is another failure. `before`: the one that lasts, if one does. */
  logFailure(failure: Failure, before: Failure | undefined): void {
    if (before?.say === failure.say) return;
    this.#log.error(failure.say, {
      output: this.#output.name,
      failure: failure.code,
      next_step: failure.nextStep || undefined,
    });
  }

  logRecovery(to: string, spooledBytes: number): void {
    this.#log.info("the receiver is back", { output: this.#output.name, to, spooled_bytes: spooledBytes });
  }
}
