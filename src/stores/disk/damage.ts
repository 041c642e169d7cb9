import { Failure } from "../../model/failure.ts";

/**
 * A file that a newer release wrote. Reading it by guess could lose versions, so it is not changed.
 */
export function newerFormat(path: string, found: unknown, known: number): Failure {
  return new Failure("state-damaged", {
    actor: "operator",
    retry: { when: "never" },
    say: `The state file ${path} has format ${String(found)}, this release reads up to format ${known}: a newer release wrote it.`,
    nextStep: "Install that release again, or move the file away; the customer is then read again from its start.",
  });
}
