/** Searches of the pages, answered from what the real binary wrote, with the macros that are shipped. */
import { readFileSync } from "node:fs";
import { setNow, type Value } from "../../../test/splunk/eval-language.ts";
import { indexed } from "../../../test/splunk/samples.ts";
import type { IndexedEvent } from "../../../test/splunk/search-time.ts";
import { shippedWorld } from "../../../test/splunk/shipped.ts";
import { type Row, runSearch } from "../../../test/splunk/spl.ts";
import type { World } from "./world.ts";

const HOUR_S = 3_600;

/**
 * From now on the fake splunkd finds the binary's health events and splunkd.log.
 *
 * @param hours the same events once more for each of so many earlier hours, as a binary that runs all day
 *   repeats them.
 */
export function answerSearches({ splunkd, out }: Pick<World, "splunkd" | "out">, hours = 0): void {
  splunkd.rest.answerSearch = ({ text, earliest }) => {
    setNow(Date.now() / 1000);
    const written = [...readFileSync(out, "utf8").matchAll(/<event .*?<\/event>/gs)]
      .map(([event]) => indexed(event))
      .filter(({ sourcetype }) => sourcetype === "defender_mssp:health");
    const earlier = Array.from({ length: hours }, (_, hour) =>
      written.map((event): IndexedEvent => ({ ...event, time: event.time - (hour + 1) * HOUR_S })),
    );
    const world = shippedWorld([written, ...earlier].flat());
    const events = [...world.events, ...splunkd.log.map(logRow)].toSorted(
      (a, b) => Number(b.get("_time")) - Number(a.get("_time")),
    );
    return runSearch(text.replace(/^search /, ""), { ...world, events, earliest }).map((row) =>
      Object.fromEntries([...row].map(([name, value]) => [name, Array.isArray(value) ? value : String(value)])),
    );
  };
}

/** A line of splunkd.log with the fields that Splunk's own app extracts from it. */
function logRow(line: string): Row {
  const [, month, day, year, time, level = "", component = "", message = ""] =
    /^(\d\d)-(\d\d)-(\d{4}) (\S+) \+0000 (\S+) +(\S+) - (.*)$/s.exec(line) ?? [];
  return new Map<string, Value>([
    ["_raw", line],
    ["_time", Date.parse(`${year}-${month}-${day}T${time}Z`) / 1000],
    ["sourcetype", "splunkd"],
    ["source", "/opt/splunk/var/log/splunk/splunkd.log"],
    ["log_level", level],
    ["component", component],
    ["event_message", message],
  ]);
}
