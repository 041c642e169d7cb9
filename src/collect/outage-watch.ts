import type { Failure } from "../model/failure.ts";
import type { Clock } from "../model/ports.ts";

/** Why an output takes nothing. */
export type Outage = Pick<Failure, "code" | "actor" | "say" | "nextStep">;

const LOOK_EVERY_MS = 10_000;
/**
 * So many looks in a row must agree before health changes: a busy receiver often refuses one request, and
 * every customer has an event at each change.
 */
const LOOKS_THAT_AGREE = 3;

/**
 * Watches an output until `stop`. Passes on why it takes nothing, and undefined once it is well again.
 *
 * @param outageNow why the output takes nothing now; undefined while it is well.
 */
export async function watchOutage(
  outageNow: () => Outage | undefined,
  changed: (outage: Outage | undefined) => void,
  clock: Clock,
  stop: AbortSignal,
): Promise<void> {
  let said: Outage | undefined;
  let differing = 0;
  while (!stop.aborted) {
    const outage = outageNow();
    differing = outage?.code === said?.code ? 0 : differing + 1;
    if (differing >= LOOKS_THAT_AGREE) {
      differing = 0;
      said = outage;
      changed(said);
    }
    await clock.pause(LOOK_EVERY_MS, stop);
  }
}
