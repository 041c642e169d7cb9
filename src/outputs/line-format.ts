import type { OutputSettings } from "../config/arcsight-settings.ts";
import { writeCef, writeCefHealth, writeCefNotice } from "../format/arcsight/cef.ts";
import { writeFlatHealth, writeFlatJson, writeFlatNotice } from "../format/arcsight/flat-json.ts";
import { siemRows } from "../format/arcsight/siem-rows.ts";
import type { EventStyle } from "../format/splunk/record-json.ts";
import { writeHealthLine, writeJsonLine } from "../format/splunk/splunk-event.ts";
import type { ByteWriter } from "../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../model/event.ts";
import { formatInstant } from "../model/instant.ts";

/** A notice of the helper itself that concerns no single customer: a spool that fills, a test. */
export interface Notice {
  readonly time: string;
  readonly tenant: string;
  readonly tenant_id: string;
  readonly say: string;
}

/** How an output's events look: whole lines, each ended by a line break. */
export interface LineFormat {
  /** Equal ids write equal bytes: outputs of one format share the work. */
  readonly id: string;
  delivery(out: ByteWriter, delivery: Delivery): void;
  health(out: ByteWriter, event: HealthEvent): void;
  notice(out: ByteWriter, notice: Notice): void;
}

/** @param styleOf the layout of a customer's JSON lines, by stanza name. */
export function lineFormatOf(
  { type, profile, evidence, cefVersion }: Pick<OutputSettings, "type" | "profile" | "evidence" | "cefVersion">,
  styleOf: (stanza: string) => EventStyle,
): LineFormat {
  if (type === "json-lines") {
    const delivery: LineFormat["delivery"] = (out, one) => writeJsonLine(out, one, styleOf(one.stanza));
    return { id: "json-lines", delivery, health: writeHealthLine, notice: writeJsonNotice };
  }
  if (type === "json-folder") {
    if (profile === "legacy") return OLD_JSON;
    const delivery: LineFormat["delivery"] = (out, one) => writeFlatJson(out, one, evidence);
    const notice: LineFormat["notice"] = (out, { say, ...event }) => writeFlatNotice(out, "spool-filling", event, say);
    return { id: `flat-json-${evidence}`, delivery, health: writeFlatHealth, notice };
  }
  const version = cefVersion === "1" ? 1 : 0;
  return {
    id: `cef-${profile}-${evidence}${version === 0 ? "" : "-1"}`,
    delivery: (out, delivery) => writeCef(out, delivery, profile, evidence, version),
    health: (out, event) => writeCefHealth(out, event, profile, version),
    notice: (out, { say, ...event }) => writeCefNotice(out, "spool-filling", event, say, profile, version),
  };
}

/**
 * The retired SIEM API's rows. That API had no health events, so a parser file for it would read one as an
 * alert without a title.
 */
const OLD_JSON: LineFormat = {
  id: "old-json",
  delivery: (out, delivery) => {
    for (const row of siemRows(delivery, formatInstant(delivery.record.updated))) out.text(`${JSON.stringify(row)}\n`);
  },
  health: () => undefined,
  notice: () => undefined,
};

function writeJsonNotice(out: ByteWriter, notice: Notice): void {
  out.text(`${JSON.stringify({ ...notice, streams: [], notice: "spool-filling" })}\n`);
}
