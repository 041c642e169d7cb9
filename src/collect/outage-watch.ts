import type { Failure } from "../model/failure.ts";
import type { Clock } from "../model/ports.ts";

export type OutageReason = Pick<Failure, "code" | "actor" | "say" | "nextStep">;

/** Why what an output is given does not arrive. */
export interface Outage extends OutageReason {
  /** `outputs[0]`. */
  readonly output: string;
  /** Stanzas of the customers whose events wait for it; undefined: of all. */
  readonly customers?: ReadonlySet<string>;
}

const LOOK_EVERY_MS = 10_000;
/**
 * So many looks in a row must agree before health changes: a busy receiver often refuses one request, and
 * every customer has an event at each change.
 */
const LOOKS_THAT_AGREE = 3;

/**
 * Watches outputs until `stop`. Passes on every outage there is whenever one begins, ends or has another
 * reason.
 *
 * @param outagesNow at most one of each output; none while all are well.
 */
export async function watchOutages(
  outagesNow: () => readonly Outage[],
  changed: (outages: readonly Outage[]) => void,
  clock: Clock,
  stop: AbortSignal,
): Promise<void> {
  const said = new Map<string, Outage>();
  const differing = new Map<string, number>();
  while (!stop.aborted) {
    const now = new Map(outagesNow().map((outage) => [outage.output, outage]));
    let hasChanged = false;
    for (const output of new Set([...said.keys(), ...now.keys(), ...differing.keys()])) {
      const outage = now.get(output);
      const looks = outage?.code === said.get(output)?.code ? 0 : (differing.get(output) ?? 0) + 1;
      differing.set(output, looks);
      if (looks < LOOKS_THAT_AGREE) continue;
      differing.delete(output);
      hasChanged = true;
      if (outage === undefined) said.delete(output);
      else said.set(output, outage);
    }
    if (hasChanged) changed([...said.values()]);
    await clock.pause(LOOK_EVERY_MS, stop);
  }
}
