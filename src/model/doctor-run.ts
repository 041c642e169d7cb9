import { type Failure, isFailure } from "./failure.ts";
import type { DoctorCheck, DoctorLine } from "./sign-in.ts";

/** The check before all others: without valid settings there is nothing to check. */
export const SETTINGS_GOOD: DoctorLine = {
  check: "settings",
  ok: true,
  failure: null,
  actor: null,
  say: "The settings are valid.",
  next_step: "",
};

/** The line of a check that failed. */
export function failedLine(check: string, failure: Failure): DoctorLine {
  const { code, actor, say, nextStep } = failure;
  return { check, ok: false, failure: code, actor, say, next_step: nextStep };
}

/**
 * Runs checks in order until one fails, and returns its failure.
 *
 * @param limited runs one check within the time that a person waits for it.
 * @param done gets each line as soon as it is known.
 * @param completed may add to a failure what is known beside it.
 */
export async function runChecks(
  checks: readonly DoctorCheck[],
  limited: (run: DoctorCheck["run"]) => Promise<string>,
  done: (line: DoctorLine) => void | Promise<void>,
  completed: (check: string, failure: Failure) => Failure = (_, failure) => failure,
): Promise<Failure | undefined> {
  for (const check of checks) {
    const { name } = check;
    try {
      const say = await limited((signal) => check.run(signal));
      await done({ check: name, ok: true, failure: null, actor: null, say, next_step: "" });
    } catch (error) {
      if (!isFailure(error)) throw error;
      const failure = completed(name, error);
      await done(failedLine(name, failure));
      return failure;
    }
  }
  return undefined;
}
