/** Judges the member scanner by JSON.parse: says in one sentence where the two disagree about some bytes. */
import { isDeepStrictEqual } from "node:util";
import { type AnswerOptions, AnswerScanner, type HugeRecordSink } from "../../src/json/answer-scanner.ts";
import { NESTING_MAX } from "../../src/json/member-scanner.ts";
import { isFailure } from "../../src/model/failure.ts";
import { parseInstant } from "../../src/model/instant.ts";
import type { PageRecord } from "../../src/model/record.ts";

const GRAPH: AnswerOptions = {
  shape: "value-object",
  fields: { kind: "alert", id: "id", updated: "lastUpdateDateTime", tenant: "tenantId", service: "serviceSource" },
  recordMaxBytes: 1 << 24,
};

/**
 * The same answers read in ways for which JSON.parse has no equal: there only the cuts must make no
 * difference.
 */
const OTHER_WAYS: readonly AnswerOptions[] = [
  { ...GRAPH, nest: { member: "alerts", fields: GRAPH.fields } },
  { ...GRAPH, nest: { member: "alerts", fields: GRAPH.fields }, recordMaxBytes: 64 },
  { ...GRAPH, shape: "bare-array" },
  {
    ...GRAPH,
    shape: "results",
    fields: { kind: "row", id: { sha256: true }, updated: "Timestamp", updatedFallback: 1n },
  },
];

interface Outcome {
  readonly refused: boolean;
  readonly records: readonly PageRecord[];
  /** What went out in pieces, as text. */
  readonly passed: string;
  readonly passedCount: number;
}

function scan(bytes: Uint8Array, cuts: readonly number[], options: AnswerOptions): Outcome {
  let passed = "";
  let passedCount = 0;
  const decoder = new TextDecoder();
  const huge: HugeRecordSink = {
    begin: ({ id }) => id.length % 2 === 0,
    piece: (piece) => {
      passed += decoder.decode(piece, { stream: true });
    },
    end: (complete) => {
      passed += decoder.decode() + (complete ? "|" : "!");
      passedCount++;
    },
  };
  const scanner = new AnswerScanner({ ...options, huge });
  const records: PageRecord[] = [];
  try {
    let from = 0;
    for (const cut of [...cuts, bytes.length]) {
      const piece = bytes.slice(from, cut);
      // Valid until the next push only; the piece's memory is then used again.
      records.push(
        ...scanner
          .push(piece)
          .map((record) => (record.readable ? { ...record, body: structuredClone(record.body) } : record)),
      );
      piece.fill(0);
      from = cut;
    }
    scanner.end();
    return { refused: false, records, passed, passedCount };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { refused: true, records, passed: "", passedCount: 0 };
  }
}

/**
 * Control characters inside strings are taken and written as escapes: JSON.parse must be asked about that
 * text.
 */
function tolerated(text: string): string {
  return text.replace(/"(?:[^"\\]|\\[\s\S])*"?/g, (string) =>
    string.replace(/\\[\s\S]|\p{Cc}/gu, (part) =>
      part.startsWith("\\") || part > "\u001f" ? part : `\\u${part.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const bracket of text.replace(/"(?:[^"\\]|\\[\s\S])*"/g, "").matchAll(/[[\]{}]/g)) {
    depth += bracket[0] === "[" || bracket[0] === "{" ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

function content(record: PageRecord): unknown {
  if (!record.readable) return record;
  const { body, ...rest } = record;
  const text = new TextDecoder().decode(body.bytes.subarray(body.start, body.end));
  const members = Array.from(body.members.subarray(body.firstMember, body.firstMember + body.memberCount * 7));
  const escapes = Array.from(body.escapes.subarray(body.firstEscape, body.firstEscape + body.escapeCount));
  return { ...rest, text, members, escapes };
}

/** Undefined when both agree. Throws what the scanner threw unless it is a Failure: that is a defect too. */
export function disagreement(bytes: Uint8Array, cuts: readonly number[]): string | undefined {
  for (const options of [GRAPH, ...OTHER_WAYS]) {
    const whole = scan(bytes, [], options);
    const pieces = scan(bytes, cuts, options);
    // A refused answer may have given records before; how many depends on the cuts.
    if (whole.refused !== pieces.refused)
      return `cut at ${cuts.join()} it is ${pieces.refused ? "refused" : "taken"}, whole it is not`;
    if (whole.refused) continue;
    // Past the limit the id counts as known only if it had come by then, and that depends on the cuts.
    if (options.recordMaxBytes < 1000) {
      if (whole.records.length + whole.passedCount !== pieces.records.length + pieces.passedCount) {
        return `cut at ${cuts.join()} it has another number of records`;
      }
      continue;
    }
    const same = isDeepStrictEqual(
      { ...whole, records: whole.records.map(content) },
      { ...pieces, records: pieces.records.map(content) },
    );
    if (!same) return `cut at ${cuts.join()} it has other records`;
  }
  return againstParse(bytes, scan(bytes, cuts, GRAPH));
}

function againstParse(bytes: Uint8Array, outcome: Outcome): string | undefined {
  const text = tolerated(new TextDecoder().decode(bytes));
  if (depthOf(text) > NESTING_MAX) return undefined;
  const answer = parsed(text);
  const malformed = outcome.records.some((record) => !record.readable && record.reason === "malformed");
  if (answer === undefined)
    return outcome.refused || malformed ? undefined : "JSON.parse refuses it, the scanner takes it";
  // Several lists in one answer: JSON.parse sees the last, the scanner all of them.
  if ((text.match(/"(v|\\u0*76)/gi)?.length ?? 0) > 1) return undefined;
  const list =
    typeof answer === "object" && answer !== null && !Array.isArray(answer)
      ? (answer as { value?: unknown }).value
      : undefined;
  if (!Array.isArray(list) || typeof list[0] === "string")
    return outcome.refused ? undefined : "it is not an answer, and the scanner accepts it";
  if (outcome.refused) return "JSON.parse takes it, the scanner refuses it";
  if (malformed) return "JSON.parse takes it, the scanner finds a record malformed";
  if (list.length !== outcome.records.length)
    return `JSON.parse sees ${list.length} records, the scanner ${outcome.records.length}`;
  for (const [i, record] of outcome.records.entries()) {
    const wrong = recordDisagreement(list[i], record);
    if (wrong !== undefined) return `record ${i}: ${wrong}`;
  }
  return undefined;
}

function recordDisagreement(element: unknown, record: PageRecord): string | undefined {
  if (typeof element !== "object" || element === null || Array.isArray(element)) {
    return !record.readable && record.reason === "not-an-object" ? undefined : "it is not an object";
  }
  const { id, lastUpdateDateTime } = element as { id?: unknown; lastUpdateDateTime?: unknown };
  const hasId = typeof id === "number" || (typeof id === "string" && id !== "");
  const updated = typeof lastUpdateDateTime === "string" ? parseInstant(lastUpdateDateTime) : undefined;
  if (!record.readable) {
    const wanted = hasId ? (updated === undefined ? "no-time" : "none") : "no-id";
    return record.reason === wanted ? undefined : `reason ${record.reason} instead of ${wanted}`;
  }
  if (!hasId || updated === undefined) return "without id or time, and taken";
  if (typeof id === "string" ? record.id !== id : Number(record.id) !== id) return `id ${record.id}`;
  if (record.updated !== updated) return "another time";
  const { text } = content(record) as { text: string };
  return isDeepStrictEqual(JSON.parse(text), element) ? undefined : "another content";
}
