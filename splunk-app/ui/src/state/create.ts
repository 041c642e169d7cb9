/** A save that got no answer: splunkd may have taken it all the same. */
import { differing } from "../../../../src/config/list-difference.ts";
import { isLost, RestProblem } from "./rest-problem.ts";

type Values = Readonly<Record<string, string>>;

/** Reads an input's settings; throws RestProblem 404 where there is none. */
type ReadSettings = () => Promise<Values>;

/** splunkd's own answer that it failed; the rest of 500 and more is somebody between who gave up waiting. */
const SPLUNKD_FAILED: ReadonlySet<number> = new Set([500, 503]);

/**
 * Posts a new input. When the answer is lost and the input is there as it was sent, that counts as success:
 * who tries again would read that the name is taken. Where that cannot be found out either, the RestProblem
 * says that it may be done.
 */
export async function postedOnce(sent: Values, post: () => Promise<unknown>, settingsOf: ReadSettings): Promise<void> {
  try {
    await post();
  } catch (error) {
    if (!isLost(error)) throw error;
    const found = await isThere(sent, settingsOf).catch(() => undefined);
    if (found === true) return;
    // A slow splunkd may create it after it was looked for.
    throw new RestProblem(error.status, error.message, found === undefined || !SPLUNKD_FAILED.has(error.status));
  }
}

/**
 * Posts changes of an input. When the answer is lost, what splunkd has says whether they were taken. A secret
 * cannot be seen there, so changes of secrets alone may be done.
 *
 * @param before the settings that the input had.
 */
export async function editedOnce(
  sent: Values,
  before: Values,
  post: () => Promise<unknown>,
  settingsOf: ReadSettings,
): Promise<void> {
  try {
    await post();
  } catch (error) {
    if (!isLost(error)) throw error;
    const canBeSeen = Object.keys(differing(before, sent)).length > 0;
    const found = await isThere(sent, settingsOf).catch(() => undefined);
    if (found === true && canBeSeen) return;
    throw new RestProblem(error.status, error.message, found !== false || !SPLUNKD_FAILED.has(error.status));
  }
}

/**
 * What a form compares with: what splunkd has now, where only an own save whose answer was lost made it so.
 *
 * @param sent by that save; undefined where there was none.
 */
export function comparedWith(before: Values, now: Values, sent: Values | undefined): Values {
  return sent !== undefined && Object.keys(differing(now, { ...before, ...sent })).length === 0 ? now : before;
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
