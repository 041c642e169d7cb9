import { sendText } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { durationMs, ticksOf, ticksOfMs } from "../instant.ts";
import type { Customer } from "../world.ts";
import { markServed } from "./graph.ts";
import { plainText } from "./records.ts";
import { defenderVoice } from "./voice.ts";

const TWO_HOURS_MS = 2 * 3_600_000;

/**
 * The retired SIEM API (Microsoft docs, "Pull detections using SIEM REST API"): a bare array of detections
 * between `sinceTimeUtc` (default: two hours ago) and `untilTimeUtc`, or since `ago`; `limit` keeps the most
 * recent; device groups and tags select. A time without a zone is UTC.
 */
export function answerSiemAlerts(exchange: Exchange, customer: Customer): void {
  const query = exchange.url.searchParams;
  const table = customer.tables["siem-alerts"];
  const bad = (name: string): void =>
    defenderVoice.failed(exchange, 400, "InvalidInput", `The value of '${name}' is not valid.`);
  const time = (name: string): bigint | undefined =>
    query.has(name) ? ticksOf((query.get(name) ?? "").replace(" ", "T")) : undefined;
  for (const name of ["sinceTimeUtc", "untilTimeUtc"])
    if (query.has(name) && time(name) === undefined) {
      bad(name);
      return;
    }
  const ago = query.get("ago");
  const agoMs = ago === null ? undefined : durationMs(ago);
  if (ago !== null && agoMs === undefined) {
    bad("ago");
    return;
  }
  const limit = query.has("limit") ? Number(query.get("limit")) : undefined;
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 0)) {
    bad("limit");
    return;
  }
  const from = ticksOfMs(exchange.nowMs - (agoMs ?? TWO_HOURS_MS));
  const since = agoMs === undefined ? (time("sinceTimeUtc") ?? from) : from;
  const until = time("untilTimeUtc");
  const groups = query.getAll("machinegroups");
  const tags = (name: "DeviceCreatedMachineTags" | "CloudCreatedMachineTags"): string | null => query.get(name);
  table.polled({ updatedFrom: since }, exchange.nowMs);
  const rows = table.visible().filter((version) => {
    if (version.updatedTicks < since || (until !== undefined && version.updatedTicks > until)) return false;
    if (groups.length > 0 && !groups.includes(String(version.row()["MachineGroup"]))) return false;
    return (["DeviceCreatedMachineTags", "CloudCreatedMachineTags"] as const).every(
      (name) => tags(name) === null || String(version.row()[name]).includes(tags(name) ?? ""),
    );
  });
  const kept = limit === undefined ? rows : rows.slice(Math.max(0, rows.length - limit));
  markServed(exchange, kept, table, plainText);
  sendText(exchange, 200, "application/json; charset=utf-8", `[${kept.map((version) => version.text()).join(",")}]`);
}
