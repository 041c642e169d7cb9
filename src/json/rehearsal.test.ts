import { expect, test } from "@jest/globals";
import { scanAnswer } from "./answer-scanner.ts";
import { rehearsalAnswer } from "./rehearsal.ts";

const fields = { kind: "alert", id: "id", updated: "updated", updatedFallback: 0n } as const;

test("the scanner's rehearsal holds every kind of record that the scanner reports", () => {
  const { records, end } = scanAnswer(rehearsalAnswer(), {
    shape: "value-object",
    fields,
    nest: { member: "list", fields },
    recordMaxBytes: 1 << 16,
  });
  const kinds = records.map((record) => {
    if (!record.readable) return record.reason;
    if (record.nested) return "nested";
    if (record.invalidUtf8Count !== undefined) return "not UTF-8";
    return record.body.escapeCount > 0 ? "markup" : "plain";
  });
  expect(new Set(kinds)).toEqual(
    new Set(["markup", "plain", "nested", "not UTF-8", "malformed", "no-id", "not-an-object"]),
  );
  expect(end.nextLink).toBe("https://localhost");
});
