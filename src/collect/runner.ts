import type { Ticks } from "../model/instant.ts";
import type { Checkpoint, StateKey } from "../model/state.ts";
import type { ObjectHash } from "./delivery/ledger.ts";
import type { ProvisionalOwner } from "./delivery/provisional.ts";

/** A version that was written and may not have arrived. */
export interface LostVersion {
  readonly hash: ObjectHash;
  readonly updated: Ticks;
  readonly askFrom: Ticks;
  /** Known within the same run. */
  readonly owner?: ProvisionalOwner;
}

/** One stream of one customer as the scheduler runs it. */
export interface Runner {
  readonly key: StateKey;
  readonly checkpoint: Pick<Checkpoint, "nextPollAtMs" | "walk">;
  /** What this runner has in the provisional window. */
  readonly owners: readonly ProvisionalOwner[];
  /** Has the version read and sent again. */
  askForReplay(version: LostVersion): void;
  /** Where a question for a version found in the journal must begin after a crash. */
  askFromOf(entry: { readonly updated: Ticks }): Ticks;
  /** Something is still to be sent again. */
  readonly awaitsReplay: boolean;
  /** Ends the present wait, so that a replay begins at once. */
  wakeUp(): void;
  /** A credential changed: after a failed sign-in the next round begins at once. True when a wait ended. */
  tryAgain(): boolean;
  /** An output accepts events again: a wait after it refused some ends. True when one ended. */
  outputAccepts(): boolean;
  /** Until `stop`. Rejects only with what concerns the whole process. */
  run(stop: AbortSignal, firstInMs: number): Promise<void>;
  /** Everything that is due, once. Rejects with the first Failure. */
  round(stop: AbortSignal): Promise<void>;
  /** Saves what the next start depends on; with `thorough` also what only reduces its requests. */
  close(options: { readonly orderly: boolean; readonly thorough: boolean }): Promise<void>;
}
