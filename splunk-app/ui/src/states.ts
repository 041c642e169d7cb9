/** How customers are: from the KV store, which the input writes; without one, from the input itself. */
import { pause } from "./after.ts";
import { answerTo, ask, forget, hasNoKvStore, storedStatusRow, storedStatusRows } from "./rest.ts";
import { AskedStates } from "./state/asked-states.ts";
import type { Status } from "./state/customers.ts";

/** By customer; of all of them under an empty name. */
const ASKED = new Map<string, AskedStates>();

function askedFor(customer: string): Promise<readonly Status[]> {
  const asked =
    ASKED.get(customer) ??
    new AskedStates({
      calls: { ask: () => ask(customer, "states"), answerTo, forget },
      nowMs: () => performance.now(),
      pause,
    });
  ASKED.set(customer, asked);
  return asked.rows();
}

/** Of all inputs. Throws RestProblem. */
export async function statusRows(): Promise<readonly Status[]> {
  try {
    return await storedStatusRows();
  } catch (error) {
    if (hasNoKvStore(error)) return askedFor("");
    throw error;
  }
}

/** Of one input; undefined before its first health event. Throws RestProblem. */
export async function statusRow(input: string): Promise<Status | undefined> {
  try {
    return await storedStatusRow(input);
  } catch (error) {
    if (hasNoKvStore(error)) return (await askedFor(input))[0];
    throw error;
  }
}
