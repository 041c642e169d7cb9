import type { SourceRecord } from "../model/record.ts";
import { scanAnswer } from "./answer-scanner.ts";

/**
 * The bodies of records that were kept as one JSON list of their bytes, with their member tables, in the
 * list's order. They are views of `list`. Throws Failure `bad-answer` when it is not such a list.
 */
export function bodiesInList(list: Uint8Array): readonly SourceRecord["body"][] {
  const { records } = scanAnswer(list, {
    shape: "bare-array",
    fields: { kind: "alert", id: { sha256: true }, updated: "", updatedFallback: 0n },
    recordMaxBytes: Number.MAX_SAFE_INTEGER,
  });
  return records.map((record) => {
    if (!record.readable) throw new Error("a record that was readable when it was kept is not any more");
    return record.body;
  });
}
