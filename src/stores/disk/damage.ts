import { Failure } from "../../model/failure.ts";

/**
 * A file written by a release that came after this one: reading it by guess could lose versions, so nothing
 * is touched.
 */
export function newerFormat(path: string, found: unknown, known: number): Failure {
  return new Failure("state-damaged", {
    actor: "operator",
    retry: { when: "never" },
    say: `The state file ${path} has format ${String(found)}, this release reads up to format ${known}: a newer release wrote it.`,
    nextStep: "Install that release again, or move the file away; the customer is then read again from its start.",
  });
}
