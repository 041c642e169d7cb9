import type { Clock } from "../model/ports.ts";
import type { Batch } from "./output.ts";
import { outputUnwritable, spoolFull } from "./output-failures.ts";
import type { OutputReports } from "./output-reports.ts";

/** A full spool that releases nothing for this long refuses events: somebody has to hear of it. */
const PROGRESS_WITHIN_MS = 30_000;
const ROOM_LOOK_MS = 100;

export interface SpoolIntakeParts {
  readonly name: string;
  readonly where: string;
  readonly stateFolder: string;
  readonly spoolBytes: number;
  readonly clock: Clock;
  readonly reports: OutputReports;
  /** Resolves to false when the spool has no room. Throws an errno error or a Failure. */
  readonly append: (group: readonly Batch[]) => Promise<boolean>;
  /** True while the receiver can be expected to confirm something. */
  readonly isReceiverUp: () => boolean;
  /** Fires when the stop begins: nothing waits for room any more. */
  readonly hurry: AbortSignal;
}

/**
 * Takes batches into the spool of a receiver that confirms. One that is slower than Microsoft is
 * back-pressure: a full spool is waited for while it releases something, and no customer has to wait for its
 * next try.
 */
export class SpoolIntake {
  readonly #p: SpoolIntakeParts;
  /** When the spool last took or released something. */
  #progressAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: SpoolIntakeParts) {
    this.#p = parts;
  }

  /** Resolves when all of it is in the spool. Throws Failure `output-full`, or says which file failed. */
  async take(group: readonly Batch[]): Promise<void> {
    const { name, where, stateFolder, spoolBytes, clock, reports, append, hurry } = this.#p;
    let kept: boolean;
    try {
      kept = await append(group);
      while (!kept && this.#isProgressing()) {
        await clock.pause(ROOM_LOOK_MS, hurry);
        kept = await append(group);
      }
    } catch (error) {
      reports.refuse(true);
      throw outputUnwritable(name, stateFolder, error);
    }
    reports.refuse(!kept);
    if (!kept) throw spoolFull(name, where, spoolBytes);
    this.#progressAtMs = clock.monotonicMs();
  }

  /** The receiver confirmed something: the spool has room again. */
  released(): void {
    this.#progressAtMs = this.#p.clock.monotonicMs();
    this.#p.reports.refuse(false);
  }

  #isProgressing(): boolean {
    const { hurry, isReceiverUp, clock } = this.#p;
    return !hurry.aborted && isReceiverUp() && clock.monotonicMs() - this.#progressAtMs < PROGRESS_WITHIN_MS;
  }
}
