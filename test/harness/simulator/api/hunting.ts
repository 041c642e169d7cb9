import { createHash } from "node:crypto";
import { sendText } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { unreadable } from "../faults.ts";
import { durationMs, msOfTicks, ticksOf } from "../instant.ts";
import type { Customer } from "../world.ts";
import { BadQuery, type HuntingResult, runKql } from "./kql.ts";
import type { Voice } from "./voice.ts";

/** Microsoft Graph docs, security-security-runhuntingquery; Defender docs, advanced hunting limits. */
const RESULT_MAX_BYTES = 50 * 1024 * 1024;

/** Answers `runHuntingQuery` (`graph`) or the two older hunting calls, which write `Schema` and `Results`. */
export async function answerHunting(
  exchange: Exchange,
  customer: Customer,
  voice: Voice,
  form: "graph" | "older",
): Promise<void> {
  const request = readRequest(await exchange.body());
  if (request === undefined)
    return voice.failed(
      exchange,
      400,
      form === "graph" ? "BadRequest" : "InvalidRequestBody",
      "Request body is incorrect",
    );
  const span = request.timespan === undefined ? undefined : spanOf(request.timespan, exchange.nowMs);
  if (request.timespan !== undefined && span === undefined)
    return voice.failed(exchange, 400, "BadRequest", `Invalid Timespan '${request.timespan}'.`);
  let result: HuntingResult;
  try {
    result = runKql(request.query, customer.hunting.rows, exchange.nowMs, span);
  } catch (error) {
    if (!(error instanceof BadQuery)) throw error;
    return voice.failed(exchange, 400, "BadRequest", error.message);
  }
  const rows = result.rows.join(",");
  if (rows.length > RESULT_MAX_BYTES)
    return voice.failed(
      exchange,
      400,
      "BadRequest",
      "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again.",
    );
  if (!unreadable(exchange.damage)) noteShown(customer, result.rows, exchange.nowMs);
  const capitals = form === "older" || customer.hunting.capitalised;
  const schema = JSON.stringify(
    result.columns.map(({ name, type }) => (capitals ? { Name: name, Type: type } : { name, type })),
  );
  const body =
    form === "older"
      ? `{"Stats":{"ExecutionTime":0.12,"resource_usage":{}},"Schema":${schema},"Results":[${rows}]}`
      : `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults","schema":${schema},"results":[${rows}]}`;
  sendText(exchange, 200, "application/json; odata.metadata=minimal; charset=utf-8", body);
}

function readRequest(body: string): { query: string; timespan: string | undefined } | undefined {
  try {
    const value = JSON.parse(body) as Record<string, unknown>;
    const query = value["Query"] ?? value["query"];
    const timespan = value["Timespan"] ?? value["timespan"];
    return typeof query === "string" && query.trim() !== ""
      ? { query, timespan: typeof timespan === "string" ? timespan : undefined }
      : undefined;
  } catch {
    return undefined;
  }
}

/** A duration back from now, `start/end`, `start/duration`, `duration/end`, or one date until now. */
function spanOf(text: string, nowMs: number): { fromMs: number; toMs: number } | undefined {
  const [first = "", second] = text.split("/");
  const [from, length] = [point(first), durationMs(first)];
  if (second === undefined) {
    if (from !== undefined) return { fromMs: from, toMs: nowMs };
    return length === undefined ? undefined : { fromMs: nowMs - length, toMs: nowMs };
  }
  const [to, until] = [point(second), durationMs(second)];
  if (from !== undefined && to !== undefined) return { fromMs: from, toMs: to };
  if (from !== undefined && until !== undefined) return { fromMs: from, toMs: from + until };
  return length !== undefined && to !== undefined ? { fromMs: to - length, toMs: to } : undefined;
}

function point(part: string): number | undefined {
  const ticks = ticksOf(part);
  return ticks === undefined ? undefined : msOfTicks(ticks);
}

function noteShown(customer: Customer, rows: readonly string[], nowMs: number): void {
  for (const row of rows) {
    if (customer.hunting.shown.has(row)) continue;
    const updated = (JSON.parse(row) as Record<string, unknown>)["Timestamp"];
    customer.hunting.shown.set(row, {
      updated: typeof updated === "string" ? updated : new Date(nowMs).toISOString(),
      atMs: nowMs,
    });
  }
}

/** A row's name in `/shown`: the SHA-256 of its bytes. */
export const rowId = (row: string): string => createHash("sha256").update(row).digest("hex");
