/**
 * The logic of Enterprise Security's two Defender detections (splunk/security_content, "Microsoft Defender
 * Incident Alerts" v7 and "Microsoft Defender ATP Alerts" v7, both of 2026), as far as it decides which risk
 * and threat objects come out. Written anew from what they do.
 */
import type { Fields } from "./eval-language.ts";
import { jsonExtract, many } from "./eval-language.ts";

export interface Finding {
  readonly id: string;
  readonly description: string;
  readonly systems: readonly string[];
  readonly users: readonly string[];
  readonly zones: readonly string[];
  readonly riskScore: number;
  readonly techniques: readonly string[];
  readonly threats: Readonly<
    Record<"file_name" | "process" | "ip_address" | "registry_key" | "url", readonly string[]>
  >;
}

const SCORES: Readonly<Record<string, number>> = { informational: 5, low: 15, medium: 25, high: 50 };

/**
 * By id and description; items whose verdict is Clean are left out, and so are those without a verdict: a
 * comparison with nothing is not true.
 */
export function incidentAlertFindings(events: readonly Fields[]): Finding[] {
  const wanted = events.filter(
    (fields) =>
      fields.get("sourcetype") === "ms365:defender:incident:alerts" && (fields.has("dest") || fields.has("user")),
  );
  return grouped(
    wanted,
    ["id", "description"],
    (fields) => itemsOf(fields, "entities").filter((item) => isNot(jsonExtract(item, "verdict"), "Clean")),
    "dest",
  );
}

/** By id, description and src: an event without src disappears. */
export function atpAlertFindings(events: readonly Fields[]): Finding[] {
  const wanted = events.filter(
    (fields) => fields.get("sourcetype") === "ms:defender:atp:alerts" && (fields.has("dest") || fields.has("user")),
  );
  return grouped(wanted, ["id", "description", "src"], (fields) => itemsOf(fields, "evidence"), "src");
}

function isNot(value: unknown, unwanted: string): boolean {
  return value !== null && value !== unwanted;
}

function itemsOf(fields: Fields, member: string): string[] {
  const text = jsonExtract(String(fields.get("_raw")), member);
  return typeof text === "string" ? (JSON.parse(text) as unknown[]).map((item) => JSON.stringify(item)) : [];
}

/** `stats … BY`: events without one of the fields fall out; a multivalue gives a row per value. */
function grouped(
  events: readonly Fields[],
  by: readonly string[],
  items: (fields: Fields) => readonly string[],
  system: string,
): Finding[] {
  const rows = new Map<string, Fields[]>();
  for (const fields of events) {
    for (const key of combinations(by.map((name) => many(fields.get(name) ?? null))))
      rows.set(key, [...(rows.get(key) ?? []), fields]);
  }
  return [...rows].map(([key, those]) => {
    const [id = "", description = "", src] = JSON.parse(key) as string[];
    const all = those.flatMap(items);
    const values = (name: string) => unique(those.flatMap((fields) => many(fields.get(name) ?? null)));
    const read = (name: string, from = all) =>
      unique(
        from
          .map((item) => jsonExtract(item, name))
          .filter((value) => value !== null && value !== "")
          .map(String),
      );
    return {
      id,
      description,
      systems: src === undefined ? values(system) : [src],
      users: values("user"),
      zones: values("cim_entity_zone"),
      riskScore: Math.max(...those.map((fields) => SCORES[String(fields.get("severity"))] ?? 2)),
      techniques: values("mitreTechniques{}"),
      threats: {
        file_name: read(
          "fileName",
          all.filter((item) => jsonExtract(item, "entityType") === "File"),
        ),
        process: read("processCommandLine"),
        ip_address: read("ipAddress"),
        registry_key: read("registryKey"),
        url: read("url"),
      },
    };
  });
}

function combinations(lists: readonly (readonly string[])[]): string[] {
  return lists
    .reduce<string[][]>((rows, list) => rows.flatMap((row) => list.map((value) => row.concat(value))), [[]])
    .map((row) => JSON.stringify(row));
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)].toSorted();
}
