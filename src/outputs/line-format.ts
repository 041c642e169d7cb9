import type { OutputSettings } from "../config/arcsight-settings.ts";
import { writeCef, writeCefHealth, writeCefNotice } from "../format/arcsight/cef.ts";
import type { HealthNotice } from "../format/arcsight/cef-mapping.ts";
import { writeFlatHealth, writeFlatJson, writeFlatNotice } from "../format/arcsight/flat-json.ts";
import { siemRows } from "../format/arcsight/siem-rows.ts";
import { writeHecEvent, writeHecHealth, writeHecOwn } from "../format/splunk/hec-event.ts";
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
  readonly about: HealthNotice;
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

/** What a customer's settings say of its events. */
export interface CustomerStyle extends EventStyle {
  readonly index?: string;
}

/**
 * @param styleOf a customer by stanza name; undefined where its settings are wrong and only health is
 *   written.
 * @param hostName this machine's, where the settings name no other.
 */
export function lineFormatOf(
  settings: Pick<OutputSettings, "type" | "profile" | "evidence" | "cefVersion" | "host" | "index"> &
    Partial<Pick<OutputSettings, "recordFormat">>,
  styleOf: (stanza: string) => CustomerStyle | undefined,
  hostName: string,
): LineFormat {
  const { type, profile, evidence, cefVersion } = settings;
  const knownStyleOf = (stanza: string): CustomerStyle => {
    const style = styleOf(stanza);
    if (!style) throw new Error(`no stanza ${stanza} was given to the sink`);
    return style;
  };
  if (type === "hec") {
    const host = settings.host ?? hostName;
    const placeOf = (customer?: CustomerStyle) => ({ host, index: customer?.index ?? settings.index });
    return {
      id: `hec ${host} ${settings.index}`,
      delivery(out, one) {
        const style = knownStyleOf(one.stanza);
        writeHecEvent(out, one, style, placeOf(style));
      },
      health: (out, event) => writeHecHealth(out, event, placeOf(styleOf(event.input))),
      notice: (out, notice) => writeHecOwn(out, noticeEvent(notice), notice.time, notice.tenant_id, placeOf()),
    };
  }
  if (type === "json-lines" || (type === "kafka" && settings.recordFormat === "json")) {
    const delivery: LineFormat["delivery"] = (out, one) => writeJsonLine(out, one, knownStyleOf(one.stanza));
    return { id: "json-lines", delivery, health: writeHealthLine, notice: writeJsonNotice };
  }
  if (type === "json-folder") {
    if (profile === "legacy") return OLD_JSON;
    const delivery: LineFormat["delivery"] = (out, one) => writeFlatJson(out, one, evidence);
    const notice: LineFormat["notice"] = (out, { say, about, ...event }) => writeFlatNotice(out, about, event, say);
    return { id: `flat-json-${evidence}`, delivery, health: writeFlatHealth, notice };
  }
  const version = cefVersion === "1" ? 1 : 0;
  return {
    id: `cef-${profile}-${evidence}${version === 0 ? "" : "-1"}`,
    delivery: (out, delivery) => writeCef(out, delivery, profile, evidence, version),
    health: (out, event) => writeCefHealth(out, event, profile, version),
    notice: (out, { say, about, ...event }) => writeCefNotice(out, about, event, say, profile, version),
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
  out.text(`${JSON.stringify(noticeEvent(notice))}\n`);
}

interface NoticeEvent extends Omit<Notice, "about"> {
  readonly notice: HealthNotice;
  readonly streams: readonly [];
}

/** A notice as JSON, beside the health events of customers. */
export function noticeEvent({ about, ...notice }: Notice): NoticeEvent {
  return { ...notice, streams: [], notice: about };
}
