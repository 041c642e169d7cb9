/** A new input whose creation got no answer: it may be there all the same. */
import { differing } from "../../../../src/config/list-difference.ts";
import { RestProblem } from "./rest-problem.ts";

type Values = Readonly<Record<string, string>>;

/** Reads an input's settings; throws RestProblem 404 where there is none. */
type ReadSettings = () => Promise<Values>;

/**
 * Posts a new input. When the answer is lost and the input is there as it was sent, that counts as success:
 * who tries again would read that the name is taken. Where that cannot be found out either, the RestProblem
 * says that it may be done.
 */
export async function postedOnce(sent: Values, post: () => Promise<unknown>, settingsOf: ReadSettings): Promise<void> {
  try {
    await post();
  } catch (error) {
    // Without an answer of splunkd, or with one of somebody between.
    const isLost = error instanceof RestProblem && (error.status === 0 || error.status >= 500);
    if (!isLost) throw error;
    if (await isThere(sent, settingsOf).catch(() => false)) return;
    throw new RestProblem(error.status, error.message, true);
  }
}

/** Whether there is an input with these settings. Throws RestProblem. */
export async function isThere(sent: Values, settingsOf: ReadSettings): Promise<boolean> {
  try {
    return Object.keys(differing(await settingsOf(), sent)).length === 0;
  } catch (error) {
    if (error instanceof RestProblem && error.status === 404) return false;
    throw error;
  }
}
