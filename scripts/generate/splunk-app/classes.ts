import { confFile } from "./conf.ts";

/** What an event is, by its source; a search like each of them stands in eventtypes.conf. */
export const EVENT_TYPES: readonly {
  readonly name: string;
  readonly search: string;
  readonly tags: readonly string[];
}[] = [
  {
    name: "defender_mssp_alert",
    search:
      'source="defender_mssp:alerts:*" OR source="defender_mssp:mde-alerts:*" OR source="defender_mssp:siem-alerts:*" OR (source="defender_mssp:xdr-incidents:*" sourcetype="ms365:defender:incident:alerts")',
    tags: ["alert"],
  },
  {
    name: "defender_mssp_incident",
    search:
      'source="defender_mssp:incidents:*" OR (source="defender_mssp:xdr-incidents:*" sourcetype="ms365:defender:incident")',
    tags: ["ticketing", "incident"],
  },
  { name: "defender_mssp_hunting_row", search: 'source="defender_mssp:hunting:*"', tags: [] },
  { name: "defender_mssp_health", search: 'source="defender_mssp:health:*"', tags: [] },
];

export function eventtypesConf(): string {
  return confFile(EVENT_TYPES.map(({ name, search }) => ({ name, settings: [["search", search]] })));
}

export function tagsConf(): string {
  return confFile(
    EVENT_TYPES.filter(({ tags }) => tags.length > 0).map(({ name, tags }) => ({
      name: `eventtype=${name}`,
      settings: tags.map((tag) => [tag, "enabled"] as const),
    })),
  );
}
