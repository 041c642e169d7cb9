import { type AnswerEnd, AnswerScanner } from "../../json/answer-scanner.ts";
import type { Failure } from "../../model/failure.ts";
import type { HuntingEnd, HuntingPage, HuntingPass, HuntingQuery, HuntingSource } from "../../model/hunting.ts";
import { formatInstant } from "../../model/instant.ts";
import { rolesFor } from "../../model/permissions.ts";
import type { PageRecord } from "../../model/record.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { Tenant } from "../../model/tenant.ts";
import { serverNowMs } from "../../net/retry-after.ts";
import { TIME_LIMITS } from "../../net/time-limits.ts";
import { ApiCaller, type ApiCallerParts, budgetKeyOf, scannedRecords } from "../api-caller.ts";
import { APIS } from "../apis.ts";

export interface HuntingSourceParts extends ApiCallerParts {
  readonly stanza: Pick<Stanza, "name" | "endpoints" | "route" | "clientId" | "credential">;
  /** All queries of the checked file; queries that name other customers are skipped here. */
  readonly queries: readonly HuntingQuery[];
  readonly problem?: Failure;
  readonly recordMaxBytes: number;
}

const PATH = "/v1.0/security/runHuntingQuery";
/**
 * An answer with this many rows was truncated (Defender XDR docs, advanced hunting limits; Graph docs agree).
 */
export const ROWS_MOST = 100_000;

/** One customer's hunting: saved queries through Graph's `runHuntingQuery`. */
export function createHuntingSource(parts: HuntingSourceParts): HuntingSource {
  const { stanza, tenant } = parts;
  const caller = new ApiCaller(parts, "hunting", rolesFor("hunting"));
  return {
    name: "hunting",
    budgetKey: budgetKeyOf(stanza, tenant, "hunting"),
    limits: APIS.hunting.limits,
    queries: parts.queries.filter((query) => isFor(query, stanza.name, tenant)),
    ...(parts.problem === undefined ? {} : { problem: parts.problem }),
    async hunt(pass, signal) {
      const answer = await caller.ask({
        method: "POST",
        url: `${caller.base}${PATH}`,
        headers: { "content-type": "application/json; charset=utf-8" },
        body: huntingBody(pass),
        headersTimeoutMs: TIME_LIMITS.hunting.ms,
        signal,
      });
      if (!answer.isData) throw answer.failure;
      return huntingPage(
        pass,
        answer.answer,
        serverNowMs(answer.answer.headers, parts.clock.nowMs()),
        parts.recordMaxBytes,
      );
    },
  };
}

/**
 * The request's body. A Timespan includes both its ends, and row times have 100 ns. So it ends one tick
 * before the window does: a row exactly at the end is only in the next window.
 */
function huntingBody({ query, window }: HuntingPass): string {
  return JSON.stringify({
    Query: query.kql,
    Timespan: `${formatInstant(window.from)}/${formatInstant(window.to - 1n)}`,
  });
}

function isFor(query: HuntingQuery, stanza: string, tenant: Tenant): boolean {
  if (query.customers === undefined) return true;
  const known = [stanza, tenant.name, tenant.id].map((name) => name.toLowerCase());
  return query.customers.some((customer) => known.includes(customer.toLowerCase()));
}

function huntingPage(
  pass: HuntingPass,
  answer: Parameters<typeof scannedRecords>[0],
  nowMs: number,
  recordMaxBytes: number,
): HuntingPage {
  const scanner = new AnswerScanner({
    shape: "results",
    fields: { kind: "row", id: { sha256: true }, updated: "Timestamp", updatedFallback: pass.untimedAt },
    recordMaxBytes,
  });
  let end: AnswerEnd | undefined;
  let rowCount = 0;
  let untimedCount = 0;
  async function* rows(): AsyncGenerator<readonly PageRecord[]> {
    const batches = scannedRecords(answer, scanner, (reached) => {
      end = reached;
    });
    for await (const batch of batches) {
      rowCount += batch.length;
      const named = batch.map((record) => rowOf(record, pass.query.name));
      for (const record of named) if (record.updated === pass.untimedAt) untimedCount += 1;
      yield named;
    }
  }
  return {
    serverNowMs: nowMs,
    batches: rows(),
    end(): HuntingEnd {
      if (end === undefined) throw new Error("the end of a hunting answer was requested before its rows were read");
      return {
        rowCount,
        untimedCount,
        columns: columnsIn(end),
        isCut: rowCount >= ROWS_MOST,
      };
    },
  };
}

/** A row is identified by its query and its bytes: the scanner uses the SHA-256 of the bytes as id. */
function rowOf(record: PageRecord, query: string): PageRecord {
  if (record.readable) return { ...record, id: `${query}/${record.id}`, service: query };
  return record.id === undefined ? record : { ...record, id: `${query}/${record.id}` };
}

/**
 * `schema` with `name` and `type` in Graph's reference; with capital letters in one of its samples and in the
 * older endpoints.
 */
function columnsIn(end: AnswerEnd): HuntingEnd["columns"] {
  const text = end.members.get("schema") ?? end.members.get("Schema");
  if (text === undefined) return [];
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) return [];
  return list.map((column: Record<string, unknown> | null) => ({
    name: textOf(column?.name ?? column?.Name),
    type: textOf(column?.type ?? column?.Type),
  }));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
