/**
 * Splunk's `.conf` files: stanzas of `key = value`, read in layers. Public source: Splunk Enterprise Admin
 * Manual, "About configuration files", and inputs.conf.spec.
 */

export type Settings = Map<string, string>;
export type Conf = Map<string, Settings>;

/**
 * What etc/system/default/inputs.conf gives to every input; seen in run documents that a real splunkd sent.
 */
const SYSTEM_INPUTS: Readonly<Record<string, string>> = {
  disabled: "0",
  host: "$decideOnStartup",
  index: "default",
  interval: "60",
  start_by_shell: "true",
};

/**
 * Reads a conf text. Later lines win; a backslash at a line's end continues it; settings before the first
 * stanza belong to `[default]`.
 */
export function parseConf(text: string): Conf {
  const conf: Conf = new Map();
  let stanza = "default";
  let carried = "";
  for (const raw of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    if (raw.endsWith("\\")) {
      carried += `${raw.slice(0, -1)}\n`;
      continue;
    }
    const line = (carried + raw).trim();
    carried = "";
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const header = /^\[(.*)\]$/.exec(line);
    if (header) {
      stanza = header[1] as string;
      if (!conf.has(stanza)) conf.set(stanza, new Map());
      continue;
    }
    const equals = line.indexOf("=");
    if (equals === -1) continue;
    const settings = conf.get(stanza) ?? new Map<string, string>();
    conf.set(stanza, settings);
    settings.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return conf;
}

export function renderConf(conf: Conf): string {
  return [...conf]
    .map(
      ([stanza, settings]) =>
        `[${stanza}]\n${[...settings].map(([key, value]) => `${key} = ${value.replaceAll("\n", "\\\n")}\n`).join("")}`,
    )
    .join("\n");
}

/** `upper` over `lower`, setting by setting. */
export function layered(lower: Conf, upper: Conf): Conf {
  const merged: Conf = new Map();
  for (const conf of [lower, upper]) {
    for (const [stanza, settings] of conf) merged.set(stanza, new Map([...(merged.get(stanza) ?? []), ...settings]));
  }
  return merged;
}

export interface Input {
  /** `scheme://name` */
  readonly stanza: string;
  readonly name: string;
  /**
   * Everything the run document carries: the stanza's own over `[scheme]` over `[default]` over the system's.
   */
  readonly settings: ReadonlyMap<string, string>;
  readonly disabled: boolean;
}

export function inputsOf(conf: Conf, scheme: string): Input[] {
  const inherited = new Map([
    ...Object.entries(SYSTEM_INPUTS),
    ...(conf.get("default") ?? []),
    ...(conf.get(scheme) ?? []),
  ]);
  const prefix = `${scheme}://`;
  return [...conf]
    .filter(([stanza]) => stanza.startsWith(prefix))
    .map(([stanza, own]) => {
      const settings = new Map([...inherited, ...own]);
      return { stanza, name: stanza.slice(prefix.length), settings, disabled: isTrue(settings.get("disabled")) };
    });
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && /^(1|true|t|yes|y)$/i.test(value);
}
