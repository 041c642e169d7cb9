import type { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import type { CefEvidence } from "./cef.ts";
import { CEF_SEVERITY, HEALTH_CLASSES, type HealthNotice } from "./cef-mapping.ts";
import { FLAT_FIELDS, type FlatRecord, flatten, isTimeOfEvent } from "./flat-record.ts";

/**
 * Writes the flat records of a delivery, a line each: one, and with `each` one more per evidence item.
 * Returns how many.
 */
export function writeFlatJson(out: ByteWriter, delivery: Delivery, evidence: CefEvidence = "none"): number {
  const { summary, perItem } = flatten(delivery);
  const records = evidence === "each" && summary.kind === "alert" ? [summary, ...perItem()] : [summary];
  for (const record of records) out.text(`${flatLine(record)}\n`);
  return records.length;
}

/** In the order of the table, so that equal records are equal text. */
function flatLine(record: FlatRecord): string {
  const ordered: Record<string, FlatRecord[keyof FlatRecord]> = {};
  for (const name of Object.keys(FLAT_FIELDS) as (keyof FlatRecord)[]) {
    const value = record[name];
    if (value === undefined || (FLAT_FIELDS[name] === "time" && !isTimeOfEvent(value as number))) continue;
    ordered[name] = typeof value === "string" ? value.toWellFormed() : value;
  }
  return JSON.stringify(ordered);
}

/**
 * A health event as flat records, one per stream, with the member names of records where they mean the same.
 * Returns how many.
 */
export function writeFlatHealth(out: ByteWriter, event: HealthEvent): number {
  if (event.roster?.failure) {
    writeFlatNotice(out, "roster-difference", event, event.roster.say);
    return 1;
  }
  for (const stream of event.streams) {
    const line: Record<string, string | number | null | undefined> = {
      tenantId: event.tenant_id,
      tenantName: event.tenant,
      stream: stream.stream,
      kind: "health",
      eventClassId: `health:${stream.state}`,
      id: `health:${stream.stream}`,
      ...healthFacts(stream.state, event.time),
      status: stream.state,
      lagSeconds: stream.lag_s,
      swept: stream.swept,
      replayed: stream.replayed,
      failure: stream.failure,
      actor: stream.actor,
      description: stream.say,
      nextStep: stream.next_step,
      credential: event.credential,
      credentialDaysLeft: event.credential_days_left,
    };
    out.text(
      `${JSON.stringify(Object.fromEntries(Object.entries(line).filter(([, value]) => value !== null && value !== undefined && value !== "")))}\n`,
    );
  }
  return event.streams.length;
}

/** A condition of the helper itself as a flat record; `say` is one sentence. */
export function writeFlatNotice(
  out: ByteWriter,
  notice: HealthNotice,
  event: Pick<HealthEvent, "time" | "tenant" | "tenant_id">,
  say: string,
): void {
  const line = {
    tenantId: event.tenant_id,
    tenantName: event.tenant,
    kind: "health",
    eventClassId: `health:${notice}`,
    id: `health:${notice}`,
    ...healthFacts(notice, event.time),
    status: notice,
    description: say,
  };
  out.text(`${JSON.stringify(line)}\n`);
}

/** What the kit's parser file makes the event's name, severity and receipt time of. */
function healthFacts(state: keyof typeof HEALTH_CLASSES, time: string) {
  const { name, severity } = HEALTH_CLASSES[state];
  const at = parseInstant(time);
  const ms = at === undefined ? undefined : msFromTicks(at);
  return { lastUpdateTime: ms, createdTime: ms, title: name, severity: severityWord(Number(severity)) };
}

/** The least of Microsoft's words whose number in CEF is as high. */
function severityWord(severity: number): string {
  const words = ["informational", "low", "medium", "high"] as const;
  return words.find((word) => severity <= Number(CEF_SEVERITY.xdr[word])) ?? "high";
}
