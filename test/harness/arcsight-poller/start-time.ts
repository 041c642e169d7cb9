/**
 * Every form in which a REST FlexConnector might write `$START_AT_TIME`. The developer's guide of the
 * connector is not public, so a server has to take them all. `unreplaced` is a connector that does not know
 * the variable.
 */
export const START_FORMATS: Readonly<Record<string, (ms: number) => string>> = {
  "iso-ms-z": (ms) => iso(ms),
  "iso-z": (ms) => `${iso(ms).slice(0, 19)}Z`,
  "iso-ms": (ms) => iso(ms).slice(0, 23),
  iso: (ms) => iso(ms).slice(0, 19),
  "iso-7-digits": (ms) => `${iso(ms).slice(0, 23)}0000Z`,
  "iso-offset": (ms) => `${iso(ms).slice(0, 23)}%2B00:00`,
  "iso-offset-compact": (ms) => `${iso(ms).slice(0, 19)}%2B0000`,
  "iso-offset-east": (ms) => `${iso(ms + 9 * 3_600_000).slice(0, 19)}%2B09:00`,
  "iso-raw-plus": (ms) => `${iso(ms).slice(0, 19)}+00:00`,
  "iso-encoded": (ms) => encodeURIComponent(iso(ms)),
  blank: (ms) => iso(ms).slice(0, 19).replace("T", "%20"),
  "blank-plus": (ms) => iso(ms).slice(0, 19).replace("T", "+"),
  quoted: (ms) => `%22${iso(ms).slice(0, 19).replace("T", "%20")}%22`,
  "epoch-s": (ms) => String(Math.floor(ms / 1000)),
  "epoch-ms": (ms) => String(ms),
  unreplaced: () => "$START_AT_TIME",
};

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** The Events URL with its variable replaced; a URL without the variable is polled as it is. */
export function eventsUrl(template: string, format: string, startMs: number): string {
  const write = START_FORMATS[format];
  if (!write) throw new Error(`no start format "${format}"; there are ${Object.keys(START_FORMATS).join(", ")}`);
  return template.replaceAll("$START_AT_TIME", () => write(startMs));
}
