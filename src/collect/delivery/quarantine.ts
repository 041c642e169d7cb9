import { Failure } from "../../model/failure.ts";
import type { UnreadableRecord } from "../../model/record.ts";

/**
 * A record that cannot be delivered, as its health event names it.
 *
 * @param what begins the sentence: "A record of alerts with id X".
 * @param whenTooLarge what the operator can do about its size.
 * @param whenUnreadable what to do about bytes that cannot be read.
 */
export function quarantined(
  record: UnreadableRecord,
  what: string,
  whenTooLarge: string,
  whenUnreadable: string,
): Failure {
  const isTooLarge = record.reason === "too-large";
  return new Failure("record-quarantined", {
    actor: isTooLarge ? "operator" : "microsoft",
    retry: { when: "never" },
    say: `${what} could not be delivered (${record.reason}): ${record.byteLength} bytes, SHA-256 ${record.sha256}.`,
    nextStep: isTooLarge ? whenTooLarge : whenUnreadable,
  });
}
