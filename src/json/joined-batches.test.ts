import { expect, test } from "@jest/globals";
import type { PageRecord } from "../model/record.ts";
import { AnswerScanner } from "./answer-scanner.ts";
import { JoinedBatches } from "./joined-batches.ts";
import { MEMBER_FIELDS } from "./member-table.ts";

const fields = { kind: "alert", id: "id", updated: "updated", updatedFallback: 0n } as const;

/** Bodies and member tables, as a writer sees them now. */
function contentOf(record: PageRecord): string {
  if (!record.readable) return record.reason;
  const { bytes, start, end, members, firstMember, memberCount, escapes, firstEscape, escapeCount } = record.body;
  const table = members.subarray(firstMember, firstMember + memberCount * MEMBER_FIELDS);
  const escaped = escapes.subarray(firstEscape, firstEscape + escapeCount);
  return `${record.id} ${Buffer.from(bytes.subarray(start, end)).toString()} ${[...table, "", ...escaped].join()}`;
}

function answerOf(count: number, titleBytes: number): Buffer {
  const records = Array.from({ length: count }, (_, i) => {
    const title = `<${i}>&${"x".repeat(titleBytes)}`;
    return i % 50 === 49 ? "7" : JSON.stringify({ id: `id${i}`, updated: "2026-11-01T00:00:00Z", title });
  });
  return Buffer.from(`{"value":[${records.join(",")}]}`);
}

/** Batches in memory that is used again for the next one, as those of a page are. */
async function* scanned(answer: Buffer, pieceBytes: number, breaksAt = Number.POSITIVE_INFINITY) {
  const scanner = new AnswerScanner({ shape: "value-object", fields, recordMaxBytes: 4 << 20 });
  const piece = Buffer.alloc(pieceBytes);
  for (let at = 0; at < answer.length; at += pieceBytes) {
    if (at >= breaksAt) throw new Error("the connection broke");
    const batch = scanner.push(piece.subarray(0, answer.copy(piece, 0, at, at + pieceBytes)));
    if (batch.length > 0) yield batch;
  }
}

async function contentsOf(batches: AsyncIterable<readonly PageRecord[]>): Promise<readonly (readonly string[])[]> {
  const found: string[][] = [];
  for await (const batch of batches) found.push(batch.map(contentOf));
  return found;
}

test("batches of a page are joined to ones of up to 180 records or a mebibyte, each record as it was", async () => {
  const answer = answerOf(500, 300);
  const pieces = await contentsOf(scanned(answer, 4_096));
  const joined = await contentsOf(new JoinedBatches().join(scanned(answer, 4_096)));
  const large = await contentsOf(new JoinedBatches().join(scanned(answerOf(300, 20_000), 1 << 16)));

  expect(joined.flat()).toEqual(pieces.flat());
  expect(pieces.length).toBeGreaterThan(30);
  expect(joined.map(({ length }) => length > 160 && length <= 180)).toEqual([true, true, false]);
  expect(large.slice(0, -1).map((batch) => batch.length > 45 && batch.length < 54)).not.toContain(false);
  expect(large.flat()).toHaveLength(300);
});

test("records that came before a page broke are passed on before its failure", async () => {
  const answer = answerOf(100, 300);
  const got: string[] = [];
  const reading = async () => {
    for await (const batch of new JoinedBatches().join(scanned(answer, 4_096, 20_000)))
      got.push(...batch.map(contentOf));
  };

  await expect(reading()).rejects.toThrow("the connection broke");
  expect(got).toEqual((await contentsOf(scanned(answer, 4_096))).flat().slice(0, got.length));
  expect(got.length).toBeGreaterThan(30);
});

test("a record larger than a batch comes alone, in its place", async () => {
  const [small, large] = ["x", "y".repeat(2 << 20)].map((title) => JSON.stringify({ id: title.slice(0, 1), title }));
  const answer = Buffer.from(`{"value":[${[small, large, small].join(",")}]}`);
  const joined = await contentsOf(new JoinedBatches().join(scanned(answer, 1 << 16)));

  expect(joined.flat().map((content) => content.slice(0, 1))).toEqual(["x", "y", "x"]);
});

test("pages beyond sixteen at once take no memory: their batches come as small as they are", async () => {
  const joining = new JoinedBatches();
  const answer = answerOf(100, 300);
  const open = Array.from({ length: 16 }, () => joining.join(scanned(answer, 4_096)));
  for (const one of open) await one.next();
  const beyond = await contentsOf(joining.join(scanned(answer, 4_096)));
  await open[0]?.return(undefined);
  const after = await contentsOf(joining.join(scanned(answer, 4_096)));

  expect([beyond.length, after.length]).toEqual([(await contentsOf(scanned(answer, 4_096))).length, 1]);
});
